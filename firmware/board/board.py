"""A whole board: built from its description, read and driven once in a tick.

Promises: a description is checked before a pin is touched; `apply` opens the contactor before it
does anything else and closes it after everything else; neither `read` nor `apply` allocates; after
`make_safe`, whoever called it, the contactor stays open until it was asked to open. Decides
nothing: what is to be closed, locked or offered comes in the outputs.
"""

import sys
import time

import machine
from micropython import const

from firmware import ticks
from firmware.board.contactor import Contactor
from firmware.board.led import Led
from firmware.board.lock_motor import LockMotor
from firmware.board.pilot import Pilot
from firmware.board.proximity import Proximity
from firmware.board.rcd import Rcd
from firmware.board.temperature import Temperature
from firmware.charging.duty import offered_ma
from firmware.charging.signals import (
    LOCK_UNLOCKED,
    NO_TEMPERATURE,
    PILOT_PWM,
    PROXIMITY_NONE,
    Capabilities,
)

_DEAD_MAN_TIMER = const(0)  # the lock motor has 1
_DEAD_MAN_MS = const(50)

# A car between these levels is in C or D and should draw what it is offered.
_WANTS_BELOW_MV = const(7500)
_WANTS_ABOVE_MV = const(1500)


class BoardError(Exception):
    """A board that cannot be used; its text is a sentence for the person who wired it."""


def load_board(name, settings):
    """Build the board described by firmware/board/<name>.py.

    BoardError with a sentence when there is none or its description cannot be used; no pin was
    touched then. `settings` has mains_v, phases and meter_pulses_per_kwh.
    """
    return Board(_read_description(name), settings)


def safe_pins(name):
    """The (pin, level) byte pairs that make the board `name` safe, contactor first.

    Touches no pin. BoardError as in `load_board`.
    """
    board = _read_description(name)
    _check(board)
    return _safe_pins(board)


def _read_description(name):
    if not name:
        raise BoardError('No board is chosen: set "board" to the name of its file.')
    if len(name) > 32 or not all(c in "abcdefghijklmnopqrstuvwxyz0123456789_" for c in name):
        raise BoardError('"{}" cannot be the name of a board.'.format(name))
    try:
        module = __import__("firmware.board." + name, None, None, ("BOARD",))
    except ImportError:
        raise BoardError('There is no board "{}".'.format(name)) from None
    except SyntaxError:
        raise BoardError(
            'The description of the board "{}" is no valid Python.'.format(name)
        ) from None
    board = getattr(module, "BOARD", None)
    if board is None:
        raise BoardError('"{}" is no board: its file describes none.'.format(name))
    _forget(name)
    return board


def _check(board):
    from firmware.board import description

    try:
        description.check(board)
    except ValueError as e:
        raise BoardError(str(e)) from None
    finally:
        _forget("description")


def _forget(name):
    """Drop a module of this package that has served: the check alone holds 6 KB."""
    del sys.modules["firmware.board." + name]
    delattr(sys.modules["firmware.board"], name)


class Board:
    """The hardware as the charging room sees it.

    `capabilities` says what this board has; `safe_pins` are the (pin, level) byte pairs that make
    it safe, contactor first, for boot.py; `dead_man_bit` is True from when the dead man took over
    until somebody sets it to False. `reader` is the card reader (see reader.py) or None: whoever
    wants cards calls its `step`, `read` and `apply` leave it alone.
    """

    def __init__(self, board, settings):
        _check(board)
        self.name = board["name"]
        self.safe_pins = _safe_pins(board)
        self.dead_man_bit = False
        self._held_open = False
        self._is_safe = False
        self._offered_ma = 0
        self._dead_man = None
        self._limit_ms = 0
        now_ms = time.ticks_ms() & ticks.MASK
        self._applied_ms = now_ms

        self._contactor = Contactor(board["contactor"])
        self._pilot = Pilot(board["pilot"])
        self._lock = LockMotor(board["lock"]) if "lock" in board else None
        self._proximity = Proximity(board["proximity"]) if "proximity" in board else None
        self._rcd = Rcd(board["rcd"]) if "rcd" in board else None
        self._temperature = Temperature(board["temperature"]) if "temperature" in board else None
        self._led = Led(board["led"]) if "led" in board else None
        self._meter = _build_meter(board, settings, now_ms)
        self.reader = _build_reader(board["reader"]) if "reader" in board else None
        self.capabilities = self._capabilities()

    def _capabilities(self):
        has = Capabilities()
        has.has_contactor_feedback = self._contactor.has_feedback
        has.has_lock = self._lock is not None
        if self._lock is not None:
            has.has_lock_feedback = self._lock.has_feedback
            has.lock_pulse_ms = self._lock.pulse_ms
        has.has_proximity = self._proximity is not None
        has.has_rcd = self._rcd is not None
        has.has_rcd_test = self._rcd is not None and self._rcd.has_test
        has.has_meter = not self._meter.is_estimate
        has.has_temperature = self._temperature is not None
        return has

    def read(self, readings):
        """Fill in all of `readings`. Takes about 4 ms, nearly all of it for the pilot."""
        readings.proximity_a = self._proximity.read_a() if self._proximity else PROXIMITY_NONE
        readings.lock = self._lock.position() if self._lock else LOCK_UNLOCKED
        readings.rcd_tripped = self._rcd.is_tripped() if self._rcd else False
        readings.temperature_dc = (
            self._temperature.read_dc() if self._temperature else NO_TEMPERATURE
        )
        readings.contactor_closed = closed = self._contactor.is_closed()

        # The pilot last: a decision to open rests on nothing older than this burst.
        pilot = self._pilot
        pilot.read()
        readings.pilot_high_mv = high_mv = pilot.high_mv
        readings.pilot_low_mv = pilot.low_mv

        meter = self._meter
        flowing = closed and _WANTS_ABOVE_MV < high_mv < _WANTS_BELOW_MV and self._offered_ma > 0
        meter.read(time.ticks_ms() & ticks.MASK, flowing, self._offered_ma)
        readings.meter_wh = meter.wh
        readings.power_w = meter.power_w
        readings.current_ma = meter.current_ma
        readings.meter_ok = meter.is_ok
        readings.meter_estimated = meter.is_estimate

    def apply(self, outputs):
        """Put `outputs` on the pins: an opening contactor first of all, a closing one last."""
        close = outputs.contactor
        if not close:
            self._contactor.open()
            self._held_open = False
        self._applied_ms = time.ticks_ms() & ticks.MASK
        self._is_safe = False
        self._pilot.drive(outputs.pilot, outputs.duty_permille)
        self._offered_ma = offered_ma(outputs.duty_permille) if outputs.pilot == PILOT_PWM else 0
        if self._lock:
            self._lock.drive(outputs.lock_drive)
        if self._rcd:
            self._rcd.test(outputs.rcd_test)
        if self._led:
            self._led.show(outputs.led)
        if close and not self._held_open:
            self._contactor.close()

    def make_safe(self):
        """Contactor open, pilot at +12 V without PWM, lock motor off. Never raises."""
        self._held_open = self._is_safe = True
        try:
            self._contactor.open()
        except Exception as e:
            sys.print_exception(e)
        try:
            self._offered_ma = 0
            self._pilot.make_steady()
        except Exception as e:
            sys.print_exception(e)
        try:
            if self._lock:
                self._lock.stop()
            if self._rcd:
                self._rcd.test(False)
        except Exception as e:
            sys.print_exception(e)

    def arm_dead_man(self, limit_ms):
        """From now on, `limit_ms` without `apply` make the board safe, whatever the tasks do."""
        self._limit_ms = limit_ms
        self._applied_ms = time.ticks_ms() & ticks.MASK
        self._dead_man = machine.Timer(_DEAD_MAN_TIMER)
        self._dead_man.init(
            mode=machine.Timer.PERIODIC, period=_DEAD_MAN_MS, callback=self._check_alive
        )

    def _check_alive(self, _timer):
        silent_ms = ticks.diff(time.ticks_ms() & ticks.MASK, self._applied_ms)
        if silent_ms > self._limit_ms and not self._is_safe:
            self.dead_man_bit = True
            self.make_safe()


def _build_meter(board, settings, now_ms):
    # Imported here, as below: a board takes the memory of no driver but its own.
    if "meter" in board:
        from firmware.board.meter import PulseMeter

        return PulseMeter(board["meter"], settings, now_ms)
    from firmware.board.estimate import Estimate

    return Estimate(settings, now_ms)


def _build_reader(part):
    if part["kind"] == "wiegand":
        from firmware.board.wiegand import Wiegand

        return Wiegand(part)
    from firmware.board.pn532 import Pn532

    return Pn532(part)


def _safe_pins(board):
    pairs = []
    contactor = board["contactor"]
    for pin in contactor["pins"]:
        pairs += (pin, 1 - contactor["closed_level"])
    lock = board.get("lock")
    if lock:
        pairs += (lock["a_pin"], lock["off"][0], lock["b_pin"], lock["off"][1])
    pilot = board["pilot"]
    if "cut_pin" in pilot:
        pairs += (pilot["cut_pin"], 1 - pilot["cut_level"])
    pairs += (pilot["pwm_pin"], 1)
    rcd = board.get("rcd", {})
    if "test_pin" in rcd:
        pairs += (rcd["test_pin"], 1 - rcd["test_level"])
    return bytes(pairs)
