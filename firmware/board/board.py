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
from firmware.briefly import briefly
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


class Board:
    """The hardware as the charging room sees it.

    `capabilities` says what this board has; `safe_pins` are the (pin, level) byte pairs that make
    it safe, contactor first, for boot.py; `dead_man_bit` is True from when the dead man took over
    until somebody sets it to False. `reader` is the card reader (see reader.py) or None: whoever
    wants cards calls its `step`, `read` and `apply` leave it alone. `button` is None, or tells
    whether the button is held down that opens the charger's own WiFi.
    """

    def __init__(self, board, settings):
        """BoardError, and no pin was touched, if the dict `board` cannot be used."""
        load = briefly("firmware.board.load")
        load.check(board)
        self.name = board["name"]
        self.safe_pins = load.pins_of(board)
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
        self._meter = load.build_meter(board, settings, now_ms)
        self.button = load.build_button(board["button"]) if "button" in board else None
        self.reader = load.build_reader(board["reader"]) if "reader" in board else None
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
