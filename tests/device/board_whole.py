"""The board as a whole: what is refused, what is safe, and what a tick costs."""

import gc
import sys

import board_fixture
import machine
import world
from board_fixture import near

from firmware.board.board import Board, BoardError
from firmware.board.load import load_board
from firmware.charging.signals import (
    DRIVE_LOCK,
    DRIVE_OFF,
    DRIVE_UNLOCK,
    LED_CHARGING,
    LED_FAULT,
    LOCK_UNLOCKED,
    PILOT_F,
    PILOT_PWM,
    PILOT_STEADY,
    PROXIMITY_NONE,
    Outputs,
    Readings,
)

BOARDS = ("smartevse_v3", "esp32_devkit", "made_up")


def _copy(what):
    return {part: dict(value) if isinstance(value, dict) else value for part, value in what.items()}


class _Untouched:
    """No pin may be set up or driven inside this block."""

    def __enter__(self):
        self.before = bytes(world.mode) + bytes(world.level)

    def __exit__(self, kind, error, trace):
        assert bytes(world.mode) + bytes(world.level) == self.before
        assert world._pwm_pin == -1


def _refused(words, part, key, value, of="smartevse_v3"):
    what = _copy(board_fixture.description(of))
    if key is None:
        what[part] = value
    else:
        what[part][key] = value
    with _Untouched():
        try:
            Board(what, board_fixture.Settings)
        except BoardError as e:
            text = str(e)
            assert text.endswith("."), text
            for word in words:
                assert word in text, (word, text)
            return
    raise AssertionError("accepted: {} {} {}".format(part, key, value))


def test_pin_used_twice():
    _refused(("32", "twice", "contactor.pins", "lock.a_pin"), "lock", "a_pin", 32)
    _refused(("twice", "contactor.pins"), "contactor", "pins", (27, 27))
    _refused(("twice", "pilot.adc_pin"), "temperature", "adc_pin", 39)


def test_wrong_pins():
    _refused(("contactor.pins", "34", "input"), "contactor", "pins", (34,))
    _refused(("pilot.pwm_pin", "36", "input"), "pilot", "pwm_pin", 36)
    _refused(("pilot.adc_pin", "25", "WiFi"), "pilot", "adc_pin", 25)
    _refused(("flash",), "contactor", "pins", (6,))
    _refused(("console",), "rcd", "trip_pin", 3)
    for pin in (-1, 40, 24, 29, "4", None, True, 2.5):
        _refused(("rcd.trip_pin", "no pin"), "rcd", "trip_pin", pin)
    _refused(("pull-up", "35"), "lock", "feedback_pull_up", True)


def test_wrong_data():
    _refused(('"metre"',), "metre", None, {})
    _refused(('"pilot"', "dict"), "pilot", None, 5)
    _refused(('"colour"', '"led"'), "led", "colour", 5)
    _refused(("lock.off",), "lock", "off", (1,))
    _refused(("lock.off",), "lock", "off", (1, 2))
    _refused(("led.fault",), "led", "fault", (1,))
    _refused(("pulse_ms",), "lock", "pulse_ms", 5000)
    _refused(("adc_range_mv",), "pilot", "adc_range_mv", 3300)
    _refused(("levels_mv",), "pilot", "levels_mv", ((100, 0),))
    _refused(("levels_mv",), "pilot", "levels_mv", ((100, 0), (200, 1000)))
    _refused(("levels_mv",), "pilot", "levels_mv", ((200, 0), (100,)))
    _refused(("levels_mv",), "pilot", "levels_mv", ((200.5, 0), (100, 0)))
    _refused(("ratings",), "proximity", "ratings", ((200, 400, 63), (500, 700, 32)))
    _refused(("ratings",), "proximity", "ratings", ((500, 700, 32), (400, 550, 63)))
    _refused(("contactor.pins",), "contactor", "pins", ())
    _refused(("feedback_closed_level",), "contactor", "feedback_pins", (33,))
    _refused(("tripped_level",), "rcd", "tripped_level", 2)
    _refused(("test_level",), "rcd", "test_pin", 14)
    for name in ("pilot", "contactor"):
        what = _copy(board_fixture.description("smartevse_v3"))
        del what[name]
        try:
            Board(what, board_fixture.Settings)
            raise AssertionError("accepted")
        except BoardError as e:
            assert name in str(e)
    what = _copy(board_fixture.description("smartevse_v3"))
    del what["pilot"]["adc_pin"]
    try:
        Board(what, board_fixture.Settings)
        raise AssertionError("accepted")
    except BoardError as e:
        assert "pilot.adc_pin is missing" in str(e)


def _not_loaded(name, *words):
    with _Untouched():
        try:
            load_board(name, board_fixture.Settings)
        except BoardError as e:
            text = str(e)
            assert text.endswith("."), text
            for word in words:
                assert word in text, text
            return
    raise AssertionError("loaded " + name)


def test_unknown_board():
    _not_loaded("", "board")
    _not_loaded("no_such_board", "no_such_board")
    for name in ("../settings", "pilot;x", "Smartevse", "a.b", "x" * 33):
        _not_loaded(name, "cannot be the name")
    for name in ("board", "pilot", "description", "nvs"):
        _not_loaded(name, "no board")


def test_board_files_are_data():
    """A third board may be put beside the two as a file; a broken one gets a sentence."""
    machine.wire(board_fixture.MADE_UP)
    folder = sys.argv[2]
    import firmware.board
    import firmware.board.meter  # the driver of its part, which would be looked for in the folder

    with open(firmware.board.__path__ + "/description.py") as f:
        check = f.read()
    firmware.board.__path__ = folder
    with open(folder + "/description.py", "w") as f:
        f.write(check)
    with open(folder + "/third.py", "w") as f:
        f.write("BOARD = " + repr(board_fixture.MADE_UP))
    with open(folder + "/broken.py", "w") as f:
        f.write("BOARD = {")
    _not_loaded("broken", "broken", "Python")
    board = load_board("third", board_fixture.Settings)
    assert board.name == "Made up"
    assert "firmware.board.third" not in sys.modules and not hasattr(firmware.board, "third")


def test_both_boards_load_by_name():
    for name in BOARDS[:2]:
        machine.wire(board_fixture.description(name))
        board = load_board(name, board_fixture.Settings)
        readings = Readings()
        board.read(readings)
        near(readings.pilot_high_mv, 12000)


def test_build_is_safe():
    """Building a board after a soft reset, all pins up: nothing closes, nothing moves."""
    for name in BOARDS:
        what = board_fixture.description(name)
        machine.wire(what)
        board = Board(what, board_fixture.Settings)
        _check_safe(what)
        readings = Readings()
        board.read(readings)
        assert not readings.contactor_closed


def _check_safe(what):
    world.advance_by(50)
    assert not world.coil and not world.contactor_closed
    assert world.lock_drive == 0
    assert world.duty_permille == 1000
    for n in what["contactor"]["pins"]:
        assert world.level[n] == 1 - what["contactor"]["closed_level"]


def _run_everything(name):
    what = board_fixture.description(name)
    board, readings, outputs = board_fixture.build(name)
    world.set(plugged=True, car_state="C")
    outputs.contactor = True
    outputs.pilot = PILOT_PWM
    outputs.duty_permille = 266
    outputs.led = LED_CHARGING
    outputs.lock_drive = DRIVE_LOCK
    outputs.rcd_test = True
    board.apply(outputs)
    world.advance_by(50)
    assert world.coil and world.duty_permille == 266
    return what, board, outputs


def test_make_safe():
    for name in BOARDS:
        what, board, outputs = _run_everything(name)
        board.make_safe()
        _check_safe(what)
        # a task that lives on cannot close it again without having asked to open
        board.apply(outputs)
        world.advance_by(50)
        assert not world.coil
        outputs.contactor = False
        board.apply(outputs)
        assert not world.coil
        outputs.contactor = True
        board.apply(outputs)
        assert world.coil
        board.make_safe()


def test_make_safe_never_raises():
    what, board, _ = _run_everything("smartevse_v3")

    class Broken:
        def value(self, level):
            raise OSError(5)

        def duty_u16(self, duty):
            raise OSError(5)

    board._pilot._pwm = Broken()
    board.make_safe()
    assert not world.coil and world.lock_drive == 0


def test_dead_man():
    for name in BOARDS:
        what, board, outputs = _run_everything(name)
        board.arm_dead_man(300)
        world.advance_by(290)
        assert world.coil and not board.dead_man_bit
        world.advance_by(70)
        assert board.dead_man_bit
        _check_safe(what)
        outputs.lock_drive = DRIVE_OFF
        outputs.rcd_test = False
        board.dead_man_bit = False
        board.apply(outputs)
        assert not world.coil and world.duty_permille == 266
        world.advance_by(400)
        assert board.dead_man_bit and world.duty_permille == 1000
        board.dead_man_bit = False
        for contactor in (False, True):
            outputs.contactor = contactor
            board.apply(outputs)
        for _ in range(100):
            board.apply(outputs)
            world.advance_by(20)
        assert world.coil and not board.dead_man_bit
        board.make_safe()
        world.timers[0] = None


def test_safe_pins():
    for name in BOARDS:
        what, board, _ = _run_everything(name)
        pairs = board.safe_pins
        assert isinstance(pairs, bytes) and len(pairs) <= 80
        part = what["contactor"]
        for i in range(len(part["pins"])):  # the contactor comes first
            assert pairs[2 * i] == part["pins"][i] and pairs[2 * i + 1] == 1 - part["closed_level"]
        for i in range(0, len(pairs), 2):
            machine.Pin(pairs[i], machine.Pin.OUT, value=pairs[i + 1])
        _check_safe(what)


def test_read_fills_in_everything():
    for name in BOARDS:
        board, readings, _ = board_fixture.build(name)
        for key in dir(readings):
            if key[0] != "_":
                setattr(readings, key, "stale")
        board.read(readings)
        for key in dir(readings):
            if key[0] != "_":
                assert getattr(readings, key) != "stale", key
    board, readings, _ = board_fixture.build("esp32_devkit")
    board.read(readings)
    assert readings.lock == LOCK_UNLOCKED and not board.capabilities.has_lock
    assert not board.capabilities.has_rcd and readings.rcd_tripped is False


def test_tick_allocates_nothing():
    for name in BOARDS:
        board, readings, outputs = board_fixture.build(name)
        board.arm_dead_man(1000)
        world.set(plugged=True, car_state="C", phases=3)
        for pilot, contactor, led in (
            (PILOT_STEADY, False, LED_FAULT),
            (PILOT_F, False, LED_FAULT),
            (PILOT_PWM, False, LED_CHARGING),
            (PILOT_PWM, True, LED_CHARGING),
        ):
            outputs.pilot = pilot
            outputs.contactor = contactor
            outputs.led = led
            outputs.duty_permille = 533
            for _ in range(10):
                board.apply(outputs)
                world.advance_by(16)
                board.read(readings)
            gc.collect()
            gc.disable()
            before = gc.mem_alloc()
            for i in range(1000):
                outputs.duty_permille = 533 if i & 64 else 266
                outputs.lock_drive = DRIVE_OFF
                board.apply(outputs)
                world.advance_by(16)
                board.read(readings)
            cost = gc.mem_alloc() - before
            gc.enable()
            assert cost == 0, (name, pilot, contactor, cost)
        board.make_safe()


def test_lock_and_dead_man_use_different_timers():
    board, readings, outputs = board_fixture.build("smartevse_v3")
    board.arm_dead_man(200)
    outputs.lock_drive = DRIVE_UNLOCK
    world.lock_drive_longest_ms = 0
    board_fixture.let_pass(board, readings, outputs, 1000)
    assert world.lock_drive_longest_ms <= 400
    world.advance_by(400)
    assert board.dead_man_bit
    assert readings.proximity_a == PROXIMITY_NONE
    assert Outputs().contactor is False


board_fixture.run(globals())
