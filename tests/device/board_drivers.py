"""Each driver of the board room against the world behind the pins."""

import board_fixture
import world
from board_fixture import near

from firmware import ticks
from firmware.board import voltage
from firmware.board.proximity import Proximity
from firmware.charging.signals import (
    DRIVE_LOCK,
    DRIVE_OFF,
    DRIVE_UNLOCK,
    LED_CHARGING,
    LED_FAULT,
    LED_OFF,
    LED_READY,
    LED_WAITING,
    LOCK_BETWEEN,
    LOCK_LOCKED,
    LOCK_UNLOCKED,
    NO_TEMPERATURE,
    PILOT_PWM,
    PILOT_STEADY,
    PROXIMITY_FAULT,
    PROXIMITY_NONE,
)

BOARDS = ("smartevse_v3", "esp32_devkit", "made_up")


# --- tables


def test_pilot_table_smartevse():
    """Each threshold of the board's own firmware, from both sides."""
    curve = board_fixture.description("smartevse_v3")["pilot"]["levels_mv"]
    for adc_mv, border_mv in (
        (3055, 10500),
        (2735, 7500),
        (2400, 4500),
        (2000, 1500),
        (1600, -1500),
    ):
        assert voltage.along(curve, adc_mv) == border_mv
        assert voltage.along(curve, adc_mv - 1) < border_mv
        assert voltage.along(curve, adc_mv + 1) > border_mv
    for adc_mv in range(100, 301, 10):
        assert -12600 <= voltage.along(curve, adc_mv) <= -11400
    _falls(curve)


def test_pilot_table_devkit():
    curve = board_fixture.description("esp32_devkit")["pilot"]["levels_mv"]
    for adc_mv, border_mv in (
        (2405, 10500),
        (2099, 7500),
        (1792, 4500),
        (1484, 1500),
        (728, -6000),
    ):
        assert voltage.along(curve, adc_mv) == border_mv
        assert voltage.along(curve, adc_mv - 1) < border_mv
        assert voltage.along(curve, adc_mv + 1) > border_mv
    assert -12600 <= voltage.along(curve, 142) <= -11400  # the least that an ESP32 reads
    _falls(curve)


def _falls(curve):
    before = 99999
    for adc_mv in range(3300, -1, -1):
        value = voltage.along(curve, adc_mv)
        assert value <= before
        before = value
    assert before == -12000 and voltage.along(curve, 3300) == 12000


class _FixedInput:
    mv = 0

    def read_uv(self):
        return self.mv * 1000


def _proximity(name):
    part = board_fixture.description(name)["proximity"]
    proximity = Proximity(part)
    proximity._adc = adc = _FixedInput()

    def at(mv):
        adc.mv = mv
        return proximity.read_a()

    return at


def test_proximity_table_smartevse():
    at = _proximity("smartevse_v3")
    for low, high, rating in ((1200, 1400, 20), (500, 700, 32), (200, 400, 63), (1800, 2150, 13)):
        assert at(low) == at(high) == rating
        assert at(low - 1) == at(high + 1) == PROXIMITY_FAULT
    assert at(0) == at(142) == PROXIMITY_FAULT
    assert at(2700) == at(3100) == at(3300) == PROXIMITY_NONE


def test_proximity_table_devkit():
    at = _proximity("esp32_devkit")
    assert (at(1650), at(1649)) == (13, 20)
    assert (at(820), at(819)) == (20, 32)
    assert (at(430), at(429)) == (32, 63)
    assert (at(200), at(199)) == (63, PROXIMITY_FAULT)
    assert at(0) == at(142) == PROXIMITY_FAULT
    assert at(2640) == at(3100) == at(3300) == PROXIMITY_NONE


def test_proximity_of_the_world():
    for name in BOARDS:
        board, readings, _ = board_fixture.build(name)
        world.set(plugged=False)
        board.read(readings)
        assert readings.proximity_a == PROXIMITY_NONE
        for rating in (13, 20, 32, 63):
            world.set(plugged=True, cable_a=rating)
            board.read(readings)
            assert readings.proximity_a == rating
        world.set(cable_a=-1)
        board.read(readings)
        assert readings.proximity_a == PROXIMITY_FAULT
        world.set(plugged=False)


def test_temperature():
    for name in ("smartevse_v3", "made_up"):
        board, readings, _ = board_fixture.build(name)
        for wanted_dc in (-150, 0, 250, 650, 715):
            world.set(temperature_dc=wanted_dc, temperature_broken=False)
            for _ in range(60):
                board.read(readings)
            near(readings.temperature_dc, wanted_dc, 3)
        world.set(temperature_broken=True)
        board.read(readings)
        assert readings.temperature_dc == NO_TEMPERATURE
        world.set(temperature_broken=False)
        board.read(readings)
        near(readings.temperature_dc, 715, 3)
    board, readings, _ = board_fixture.build("esp32_devkit")
    board.read(readings)
    assert readings.temperature_dc == NO_TEMPERATURE
    assert not board.capabilities.has_temperature


# --- contactor


def _log_pins(log):
    """Record (pin, level) and (pin, "pwm") of each write to an output, in order."""
    drive = world.drive
    pwm = world.pwm

    def logged_level(n, level):
        log.append((n, level))
        drive(n, level)

    def logged_pwm(n, freq, duty_u16):
        log.append((n, "pwm"))
        pwm(n, freq, duty_u16)

    world.drive = logged_level
    world.pwm = logged_pwm


def test_contactor_opens_first_and_closes_last():
    for name in BOARDS:
        board, _, outputs = board_fixture.build(name)
        part = board_fixture.description(name)["contactor"]
        closed = [(n, part["closed_level"]) for n in part["pins"]]
        opened = [(n, 1 - part["closed_level"]) for n in part["pins"]]
        log = []
        _log_pins(log)
        outputs.contactor = True
        outputs.pilot = PILOT_PWM
        outputs.duty_permille = 533
        outputs.led = LED_CHARGING
        outputs.lock_drive = DRIVE_LOCK
        board.apply(outputs)
        assert log[-len(closed) :] == closed, log
        assert (part["pins"][0], 1) not in log[: -len(closed)]
        log.clear()
        outputs.contactor = False
        outputs.pilot = PILOT_STEADY
        outputs.led = LED_FAULT
        outputs.lock_drive = DRIVE_OFF
        board.apply(outputs)
        assert log[: len(opened)] == opened, log
        assert (board_fixture.description(name)["pilot"]["pwm_pin"], "pwm") in log


def test_contactor_without_feedback():
    board, readings, outputs = board_fixture.build("smartevse_v3")
    assert not board.capabilities.has_contactor_feedback
    board.read(readings)
    assert readings.contactor_closed is False
    outputs.contactor = True
    board.apply(outputs)
    board.read(readings)
    assert readings.contactor_closed is True
    assert world.level[32] == 1 and world.level[27] == 1
    world.advance_by(100)
    assert world.contactor_closed
    outputs.contactor = False
    board.apply(outputs)
    assert world.level[32] == 0 and world.level[27] == 0


def test_contactor_with_feedback():
    board, readings, outputs = board_fixture.build("made_up")
    assert board.capabilities.has_contactor_feedback
    assert world.level[22] == 1 and world.level[23] == 1  # active low
    world.advance_by(100)
    board.read(readings)
    assert readings.contactor_closed is False
    outputs.contactor = True
    board.apply(outputs)
    board.read(readings)
    assert readings.contactor_closed is False  # it takes its time
    world.advance_by(100)
    board.read(readings)
    assert readings.contactor_closed is True
    world.set(welded=True)
    outputs.contactor = False
    board.apply(outputs)
    world.advance_by(100)
    board.read(readings)
    assert readings.contactor_closed is True
    world.set(welded=False, contactor_stuck_open=True)
    outputs.contactor = True
    board.apply(outputs)
    world.advance_by(100)
    board.read(readings)
    assert readings.contactor_closed is False


def test_one_of_two_contacts_counts():
    board, readings, outputs = board_fixture.build("made_up")
    contacts = board._contactor._feedback

    class Contact:
        def __init__(self, level):
            self.level = level

        def value(self):
            return self.level

    contacts[0] = Contact(1)
    contacts[1] = Contact(0)
    board.read(readings)
    assert readings.contactor_closed is True  # commanded open, one welded
    outputs.contactor = True
    board.apply(outputs)
    board.read(readings)
    assert readings.contactor_closed is False  # commanded closed, one did not


# --- lock


def test_lock_pulse_ends_without_apply():
    for name, pulse_ms in (("smartevse_v3", 400), ("made_up", 500)):
        board, _, outputs = board_fixture.build(name)
        world.lock_drive_longest_ms = 0
        outputs.lock_drive = DRIVE_LOCK
        board.apply(outputs)
        assert world.lock_drive == 1
        world.advance_by(10000)
        assert world.lock_drive == 0
        assert world.lock_drive_longest_ms == pulse_ms, world.lock_drive_longest_ms


def test_lock_pulse_ends_without_timer():
    board, readings, outputs = board_fixture.build("smartevse_v3")
    world.lock_drive_longest_ms = 0
    outputs.lock_drive = DRIVE_LOCK
    board.apply(outputs)
    world.timers[1] = None  # the timer died
    board_fixture.let_pass(board, readings, outputs, 3000)
    assert world.lock_drive == 0
    assert 400 <= world.lock_drive_longest_ms <= 420, world.lock_drive_longest_ms


def test_lock_rests_until_asked_off():
    board, readings, outputs = board_fixture.build("smartevse_v3")
    world.lock_drive_longest_ms = 0
    outputs.lock_drive = DRIVE_LOCK
    board_fixture.let_pass(board, readings, outputs, 5000)
    assert world.lock_drive == 0 and world.lock_drive_longest_ms <= 400
    assert world.lock_permille == 1000 and readings.lock == LOCK_LOCKED
    outputs.lock_drive = DRIVE_UNLOCK  # not by way of off
    board_fixture.let_pass(board, readings, outputs, 1000)
    assert world.lock_permille == 1000
    outputs.lock_drive = DRIVE_OFF
    board_fixture.let_pass(board, readings, outputs, 40)
    outputs.lock_drive = DRIVE_UNLOCK
    board.apply(outputs)
    assert world.lock_drive == -1
    board.read(readings)
    assert readings.lock == LOCK_LOCKED
    world.advance_by(150)
    board.read(readings)
    assert readings.lock == LOCK_BETWEEN
    board_fixture.let_pass(board, readings, outputs, 1000)
    assert readings.lock == LOCK_UNLOCKED and world.lock_permille == 0


def test_lock_stops_at_once_and_never_turns_round():
    board, _, outputs = board_fixture.build("smartevse_v3")
    outputs.lock_drive = DRIVE_LOCK
    board.apply(outputs)
    world.advance_by(100)
    outputs.lock_drive = DRIVE_UNLOCK
    board.apply(outputs)
    assert world.lock_drive == 0
    board.apply(outputs)
    assert world.lock_drive == 0
    outputs.lock_drive = DRIVE_OFF
    board.apply(outputs)
    outputs.lock_drive = DRIVE_UNLOCK
    board.apply(outputs)
    assert world.lock_drive == -1
    # the first pulse's timer must not cut, nor prolong, the second
    world.lock_drive_longest_ms = 0
    world.advance_by(5000)
    assert world.lock_drive_longest_ms == 400


def test_lock_without_contact_tells_the_last_pulse():
    board, readings, outputs = board_fixture.build("made_up")
    assert board.capabilities.has_lock and not board.capabilities.has_lock_feedback
    assert board.capabilities.lock_pulse_ms == 500
    board.read(readings)
    assert readings.lock == LOCK_BETWEEN  # nobody knows
    for direction, wanted in ((DRIVE_UNLOCK, LOCK_UNLOCKED), (DRIVE_LOCK, LOCK_LOCKED)):
        outputs.lock_drive = direction
        board.apply(outputs)
        board.read(readings)
        assert readings.lock == LOCK_BETWEEN
        board_fixture.let_pass(board, readings, outputs, 1000)
        assert readings.lock == wanted
        outputs.lock_drive = DRIVE_OFF
        board.apply(outputs)
        board.read(readings)
        assert readings.lock == wanted
    outputs.lock_drive = DRIVE_UNLOCK
    board.apply(outputs)
    world.advance_by(100)
    outputs.lock_drive = DRIVE_OFF
    board.apply(outputs)
    board.read(readings)
    assert readings.lock == LOCK_BETWEEN


def test_lock_over_the_wrap_of_the_ticks():
    world.start_at(ticks.MASK - 100)
    board, readings, outputs = board_fixture.build("smartevse_v3")
    world.lock_drive_longest_ms = 0
    outputs.lock_drive = DRIVE_LOCK
    board.apply(outputs)
    world.timers[1] = None
    board_fixture.let_pass(board, readings, outputs, 1000)
    assert world.lock_drive == 0
    assert 400 <= world.lock_drive_longest_ms <= 420, world.lock_drive_longest_ms


# --- the rest


def test_rcd():
    board, readings, outputs = board_fixture.build("made_up")
    assert board.capabilities.has_rcd and board.capabilities.has_rcd_test
    board.read(readings)
    assert readings.rcd_tripped is False
    outputs.rcd_test = True
    board.apply(outputs)
    world.advance_by(50)
    board.read(readings)
    assert readings.rcd_tripped is True
    outputs.rcd_test = False
    board.apply(outputs)
    world.advance_by(50)
    board.read(readings)
    assert readings.rcd_tripped is False
    board, readings, _ = board_fixture.build("smartevse_v3")
    assert board.capabilities.has_rcd and not board.capabilities.has_rcd_test
    world.set(rcd_tripped=True)
    board.read(readings)
    assert readings.rcd_tripped is True


def test_led():
    board, _, outputs = board_fixture.build("smartevse_v3")
    for led, levels in (
        (LED_OFF, (0, 0, 0)),
        (LED_READY, (0, 1, 0)),
        (LED_WAITING, (1, 1, 0)),
        (LED_CHARGING, (0, 0, 1)),
        (LED_FAULT, (1, 0, 0)),
    ):
        outputs.led = led
        board.apply(outputs)
        assert (world.level[2], world.level[4], world.level[12]) == levels
    board, _, outputs = board_fixture.build("made_up")
    outputs.led = LED_OFF
    board.apply(outputs)
    assert world.level[2] == 1
    outputs.led = LED_READY
    board.apply(outputs)
    assert world.level[2] == 0


def _charge(board, readings, outputs, permille, duration_ms):
    outputs.pilot = PILOT_PWM
    outputs.duty_permille = permille
    outputs.contactor = True
    board_fixture.let_pass(board, readings, outputs, duration_ms)


def test_meter_counts_exactly():
    for per_kwh in (1000, 800, 100, 1333):
        board_fixture.Settings.meter_pulses_per_kwh = per_kwh
        world.set(meter_pulses_per_kwh=per_kwh, plugged=True, car_state="C", phases=3)
        board, readings, outputs = board_fixture.build("made_up")
        assert board.capabilities.has_meter
        meter = board._meter
        for pulses in range(1, 5000):
            meter._on_pulse(None)
            if pulses % 7 == 0:
                meter.read(0, True, 0)
                assert meter.wh == pulses * 1000 // per_kwh, (meter.wh, pulses, per_kwh)


def test_meter_follows_the_world():
    world.set(plugged=True, car_state="C", draw_ma=32000)
    board_fixture.Settings.phases = 3
    board, readings, outputs = board_fixture.build("made_up")
    world.set(phases=3)
    _charge(board, readings, outputs, 533, 120000)
    assert readings.meter_ok and not readings.meter_estimated
    near(readings.meter_wh, world.energy_wh, 2)
    assert readings.meter_wh > 600
    near(readings.power_w, 31980 * 690 // 1000, 1000)
    near(readings.current_ma, 31980, 1500)
    _charge(board, readings, outputs, 100, 60000)
    near(readings.current_ma, 6000, 500)
    outputs.contactor = False
    board_fixture.let_pass(board, readings, outputs, 120000)
    assert readings.power_w < 100 and readings.meter_ok
    near(readings.meter_wh, world.energy_wh, 1)


def test_meter_silent():
    world.set(plugged=True, car_state="C", draw_ma=16000)
    board, readings, outputs = board_fixture.build("made_up")
    _charge(board, readings, outputs, 266, 20000)
    assert readings.meter_ok and readings.meter_wh > 10
    world.set(meter_silent=True)
    _charge(board, readings, outputs, 266, 55000)
    assert readings.meter_ok
    _charge(board, readings, outputs, 266, 10000)
    assert not readings.meter_ok
    world.set(meter_silent=False)
    _charge(board, readings, outputs, 266, 3000)
    assert readings.meter_ok
    # an idle charger is not a silent meter
    outputs.contactor = False
    board_fixture.let_pass(board, readings, outputs, 100000)
    assert readings.meter_ok


def test_silence_depends_on_the_pulse():
    board_fixture.Settings.meter_pulses_per_kwh = 100
    world.set(meter_pulses_per_kwh=100)
    board, _, _ = board_fixture.build("made_up")
    assert board._meter._silent_ms == 36000000 // 230 * 4
    board_fixture.Settings.meter_pulses_per_kwh = 10000
    board, _, _ = board_fixture.build("made_up")
    assert board._meter._silent_ms == 60000


def test_estimate_is_marked():
    world.set(plugged=True, car_state="C", draw_ma=32000, phases=1)
    board, readings, outputs = board_fixture.build("smartevse_v3")
    assert not board.capabilities.has_meter
    _charge(board, readings, outputs, 266, 3600000 // 20)
    assert readings.meter_estimated and readings.meter_ok
    near(readings.meter_wh, 15960 * 230 // 1000 // 20, 2)
    assert readings.current_ma == 15960
    near(readings.power_w, 3670, 10)
    wh = readings.meter_wh
    world.set(car_state="B")
    _charge(board, readings, outputs, 266, 60000)
    assert readings.meter_wh - wh <= 1 and readings.current_ma == 0 and readings.power_w == 0


board_fixture.run(globals())
