"""The charge controller: IEC 61851-1 mode 3 as one pure step from readings to outputs.

It promises, for whatever readings it is given:

- The contactor is closed only for a car in C or D whose diode was seen, with the cable locked
  (socket), a permit to charge now, and no fault that stops charging. It opens in the very step
  whose reading shows no C or D, a lost lock, a lost cable or such a fault. Where the charger itself
  wants to stop (permit, limit, stop button, heat) it withdraws the PWM first and waits 6 s at most.
- The lock is driven open only after the contactor is confirmed open.
- The duty of the PWM changes at most every 5 s.

All times are counters that go up or down by the time since the last step: there is no clock in
here, and nothing that a wrap of the ticks could upset.
"""

from micropython import const

from firmware import ticks
from firmware.charging import events, faults, pilot
from firmware.charging import lock as cable_lock
from firmware.charging.duty import offered_ma, permille_of
from firmware.charging.rcd_test import RcdTest
from firmware.charging.session import EV_DISCONNECTED, LOCAL, UNLOCK_COMMAND, Session
from firmware.charging.signals import (
    DRIVE_OFF,
    LED_CHARGING,
    LED_FAULT,
    LED_OFF,
    LED_READY,
    LED_WAITING,
    LOCK_LOCKED,
    LOCK_UNLOCKED,
    PILOT_E,
    PILOT_F,
    PILOT_PWM,
    PILOT_STEADY,
    PROXIMITY_FAULT,
    PROXIMITY_NONE,
)

# IEC 61851-1: open under load when the car does not react to the end of the PWM
_WITHDRAWN_MS = const(6000)
# IEC 61851-1: a car may take 5 s to follow; no change before that
_DUTY_HOLD_MS = const(5000)
_DIODE_SEEN_MS = const(60)  # before closing
_RECLOSE_MS = const(1000)  # a flickering pilot must not rattle the contactor
_FEEDBACK_MS = const(500)  # for the auxiliary contact to follow, bouncing included
_OPENED_MS = const(200)  # for a contactor without feedback to be counted as open
_PROXIMITY_MS = const(300)
# A tenth and 1 A more than offered, for longer than a car may take to follow
_OVERCURRENT_MA = const(1000)
_OVERCURRENT_MS = const(10000)
_LONG_MS = const(600000)  # counters stop here
_MOST_DT_MS = const(60000)

_NAMES_1 = ("F", "A", "B1", "C1", "D1", "E", "F")
_NAMES_2 = ("F", "A", "B2", "C2", "D2", "E", "F")


class ChargingConfig:
    """The settings of the charging room, as plain values."""

    def __init__(self):
        self.available = True  # False: out of service, pilot at F
        self.tethered = False  # the cable is fixed to the charger: no lock, no proximity
        self.ventilation = False  # the room is ventilated: cars in state D may charge
        self.rcd_test = True  # where the board can: test the RCD before a session's first closing
        self.wake_mode = "F"  # "off", "E" or "F"
        self.wake_after_s = 30
        self.wake_s = 4


class Controller:
    """Call `step` once a tick; read the rest whenever you like.

    `state` is an OCPP 1.6 ChargePointStatus, `pilot_name` a letter of IEC 61851-1 with the
    charger's digit, `reason` a code of `firmware.reasons`.
    """

    def __init__(self, capabilities, config, limits):
        self.config = config
        self.limits = limits
        self.pilot = pilot.PilotLine()
        self.lock = cable_lock.Lock(capabilities.lock_pulse_ms)
        self.faults = faults.Faults()
        self.session = Session()
        self.state = "Unavailable"
        self.pilot_name = "F"
        self.reason = "Starting"
        self.connected = False  # a car, as last settled
        self.locked = False
        self.offering = False
        self.listeners = []  # of EventQueue

        self._uses_lock = capabilities.has_lock and not config.tethered
        self._uses_proximity = capabilities.has_proximity and not config.tethered
        self._has_feedback = capabilities.has_contactor_feedback
        self._tests_rcd = capabilities.has_rcd_test and config.rcd_test
        self._rcd_test = RcdTest()
        self._lock_position = -1

        self._now_ms = -1
        self.finished = False  # the session ended, and the car is still there
        self._ending = ""  # why a session is being ended
        self._unlocking = False  # asked for, until the next session
        self._needs_ventilation = False
        self._confirmed = False  # this closing was seen by the feedback
        self._offered = False  # in this session, ever
        self._asked = False  # C or D was seen since the PWM came on
        self._woken = False  # since the PWM came on
        self._waiting_ms = 0  # in B2 without C
        self._wake_ms = 0  # left of a wake-up
        self._duty_hold_ms = 0
        self._reclose_ms = 0
        self._withdrawn_ms = 0
        self._opened_ms = 0  # commanded open for
        self._mismatch_ms = 0  # feedback and command differ for
        self._proximity_ms = 0
        self._overcurrent_ms = 0

        self._start_asked = False
        self._stop_asked = ""
        self._unlock_asked = False

    # What people ask for; it takes effect in the next step.

    def request_start(self):
        """Charge again after a stop, and try again after a fault. The permit still decides."""
        self._start_asked = True

    def request_stop(self, reason=LOCAL):
        """End the session; the cable stays locked until the car leaves or somebody unlocks."""
        self._stop_asked = reason

    def request_unlock(self):
        """End the session if there is one, then release the cable once the contactor is open."""
        self._unlock_asked = True

    def unlocked(self):
        """True when a pulse has opened the lock and its contact agrees."""
        return not self._uses_lock or self.lock.opened

    def step(self, readings, permit, now_ms, outputs):
        """One tick: `outputs` holds what was driven while `readings` were taken, then what is next.

        `now_ms` is a wrapped tick (firmware.ticks), `permit` the access room's word.
        """
        dt_ms = 0
        if self._now_ms >= 0:
            dt_ms = max(0, min(ticks.diff(now_ms, self._now_ms), _MOST_DT_MS))
        self._now_ms = now_ms

        self.pilot.step(readings.pilot_high_mv, readings.pilot_low_mv, outputs.pilot, dt_ms)
        self.limits.step(readings, dt_ms)
        self._watch_faults(readings, outputs, dt_ms)
        self._follow_car(readings, permit, dt_ms)
        limit_ma = self.limits.effective_ma()
        self._test_rcd(readings, outputs, dt_ms)
        self._decide_offer(readings, permit, limit_ma)
        self._drive_contactor(readings, outputs, dt_ms)
        self._drive_pilot(outputs, limit_ma, dt_ms)
        self._drive_lock(readings, outputs, dt_ms)
        self._end_session(readings, outputs)
        self._describe(readings, permit, limit_ma, outputs)
        self._tell_contactor(readings, outputs)

    # The parts of a step, in their order

    def _watch_faults(self, readings, outputs, dt_ms):
        line = self.pilot
        closed = outputs.contactor

        self._report(faults.RCD, readings.rcd_tripped and not self._rcd_test.running(), dt_ms)
        if self._report(faults.RCD_TEST, self._rcd_test.failed(), dt_ms):
            self._rcd_test.reset()

        if self._has_feedback and closed != readings.contactor_closed:
            self._mismatch_ms = min(self._mismatch_ms + dt_ms, _LONG_MS)
        else:
            self._mismatch_ms = 0
        late = self._mismatch_ms >= _FEEDBACK_MS
        self._report(faults.WELDED, late and not closed, dt_ms)
        self._report(faults.NOT_CLOSED, late and closed, dt_ms)

        was_failed = self.faults.is_active(faults.LOCK_FAILED)
        lock_failed = self.lock.failed == cable_lock.LOCK and not was_failed
        self._report(faults.LOCK_FAILED, lock_failed, dt_ms)
        if was_failed and not self.faults.is_active(faults.LOCK_FAILED):
            self.lock.retry()
        self._report(faults.UNLOCK_FAILED, self.lock.failed == cable_lock.UNLOCK, dt_ms)

        with_car = line.letter == pilot.B or line.letter == pilot.C or line.letter == pilot.D
        self._report(faults.DIODE, with_car and line.diode_lost(), dt_ms)
        shorted = line.letter == pilot.E or line.letter == pilot.F
        self._report(faults.PILOT_SHORT, shorted and line.raw != pilot.UNKNOWN, dt_ms)

        self._report(faults.OVERTEMPERATURE, self.limits.derating.stopped(), dt_ms)

        offered = offered_ma(outputs.duty_permille) if outputs.pilot == PILOT_PWM else 0
        most_ma = offered + offered // 10 + _OVERCURRENT_MA
        if closed and offered and readings.current_ma > most_ma:
            self._overcurrent_ms = min(self._overcurrent_ms + dt_ms, _LONG_MS)
        else:
            self._overcurrent_ms = 0
        self._report(faults.OVERCURRENT, self._overcurrent_ms >= _OVERCURRENT_MS, dt_ms)

        self._report(faults.METER_SILENT, not readings.meter_ok, dt_ms)

        if self._uses_proximity and (
            readings.proximity_a == PROXIMITY_FAULT
            or (with_car and line.raw != pilot.A and readings.proximity_a == PROXIMITY_NONE)
        ):
            self._proximity_ms = min(self._proximity_ms + dt_ms, _LONG_MS)
        else:
            self._proximity_ms = 0
        self._report(faults.PROXIMITY, self._proximity_ms >= _PROXIMITY_MS, dt_ms)

    def _report(self, fault, present, dt_ms):
        was = self.faults.is_active(fault)
        new = self.faults.report(fault, present, dt_ms)
        if new:
            self._emit(events.FAULT, faults.code_of(fault), self.faults.count(fault))
        elif was and not self.faults.is_active(fault):
            self._emit(events.FAULT_CLEARED, faults.code_of(fault), self.faults.count(fault))
        return new

    def _follow_car(self, readings, permit, dt_ms):
        letter = self.pilot.letter
        if letter == pilot.A:
            if self.connected:
                self._car_left()
            self.faults.unplugged()
        elif letter == pilot.B or letter == pilot.C or letter == pilot.D:
            self.connected = True

        if self._start_asked:
            self._start_asked = False
            self.finished = False
            self.faults.retry_now()
        if self._stop_asked or self._unlock_asked:
            if self.session.active:
                if not self._ending:
                    self._ending = self._stop_asked or UNLOCK_COMMAND
            elif self.connected:
                self.finished = True
            if self._unlock_asked:
                self._unlocking = True
                self.lock.unlock_again()
            self._unlock_asked = False
            self._stop_asked = ""

        if self.session.active:
            self.session.step(readings, dt_ms)
        elif (
            self.connected
            and letter != pilot.A
            and not self.finished
            and permit.authorized
            and self.config.available
            and not self.faults.blocks()
        ):
            self.session.start(readings)
            self._offered = False
            self._unlocking = False
            self._rcd_test.reset()
            self._emit(events.SESSION_STARTED, "", 0)

    def _car_left(self):
        self.connected = False
        if self.session.active and not self._ending:
            self._ending = EV_DISCONNECTED
        self.finished = False
        self._unlocking = False
        self._needs_ventilation = False
        self.faults.retry_now()

    def _test_rcd(self, readings, outputs, dt_ms):
        test = self._rcd_test
        if (
            self._tests_rcd
            and self.session.active
            and not outputs.contactor
            and not test.passed()
            and not self.faults.is_active(faults.RCD_TEST)
        ):
            test.step(readings.rcd_tripped, dt_ms)
        elif not test.passed() and not test.failed():
            test.reset()
        outputs.rcd_test = test.drive

    def _decide_offer(self, readings, permit, limit_ma):
        if self.pilot.letter == pilot.D and not self.config.ventilation:
            self._needs_ventilation = True
        self.locked = readings.lock == LOCK_LOCKED
        self.offering = (
            self.session.active
            and self.connected
            and not self._ending
            and permit.allowed
            and limit_ma > 0
            and not self.faults.blocks()
            and (not self._uses_lock or (self.locked and self.lock.drive == DRIVE_OFF))
            and (not self._tests_rcd or self._rcd_test.passed())
            and not self._needs_ventilation
            and self.config.available
        )

    def _drive_contactor(self, readings, outputs, dt_ms):
        line = self.pilot
        # What this very reading must show, closed or about to close
        safe = (
            line.draws()
            and not self.faults.stops_now
            and (not self._uses_lock or self.locked)
            and (not self._uses_proximity or readings.proximity_a > 0)
        )
        self._reclose_ms = max(0, self._reclose_ms - dt_ms)
        if outputs.contactor:
            self._withdrawn_ms = 0 if self.offering else self._withdrawn_ms + dt_ms
            if not safe or line.diode_lost() or self._withdrawn_ms >= _WITHDRAWN_MS:
                outputs.contactor = False
                self._reclose_ms = _RECLOSE_MS
        elif (
            safe
            and self.offering
            and not self._reclose_ms
            and not readings.contactor_closed
            and outputs.pilot == PILOT_PWM
            and line.diode_ms >= _DIODE_SEEN_MS
            and (line.letter == pilot.C or line.letter == pilot.D)
        ):
            outputs.contactor = True
            self._withdrawn_ms = 0

        if outputs.contactor:
            self._opened_ms = 0
        else:
            self._opened_ms = min(self._opened_ms + dt_ms, _LONG_MS)

    def _confirmed_open(self, readings):
        return (
            self._opened_ms >= _OPENED_MS
            and not readings.contactor_closed
            and not self.faults.is_active(faults.WELDED)
        )

    def _drive_pilot(self, outputs, limit_ma, dt_ms):
        self._duty_hold_ms = max(0, self._duty_hold_ms - dt_ms)
        if not self.offering:
            self._wake_ms = 0
            self._waiting_ms = 0
            self._asked = self._woken = False
            in_service = self.config.available or self.session.active or outputs.contactor
            outputs.pilot = PILOT_STEADY if in_service else PILOT_F
            outputs.duty_permille = 1000
            return

        if self._wake_ms > 0:
            self._wake_ms -= dt_ms
            if self._wake_ms > 0:
                return
            outputs.pilot = PILOT_STEADY  # and PWM again below
        if self._sleeps(outputs, dt_ms):
            self._woken = True
            self._wake_ms = self.config.wake_s * 1000
            outputs.pilot = PILOT_E if self.config.wake_mode == "E" else PILOT_F
            outputs.duty_permille = 1000
            return

        if not self._duty_hold_ms:
            permille = permille_of(limit_ma)
            if outputs.pilot != PILOT_PWM or outputs.duty_permille != permille:
                outputs.pilot = PILOT_PWM
                outputs.duty_permille = permille
                self._duty_hold_ms = _DUTY_HOLD_MS
                self._offered = True

    def _sleeps(self, outputs, dt_ms):
        """True once, when a car in B2 has not asked for energy since the PWM came on."""
        if self.pilot.letter != pilot.B:
            self._asked = True
        if self._asked or self._woken or outputs.pilot != PILOT_PWM:
            return False
        if self.config.wake_mode == "off":
            return False
        self._waiting_ms = min(self._waiting_ms + dt_ms, _LONG_MS)
        return self._waiting_ms >= self.config.wake_after_s * 1000

    def _drive_lock(self, readings, outputs, dt_ms):
        if not self._uses_lock:
            outputs.lock_drive = DRIVE_OFF
            return
        want = cable_lock.LEAVE
        if self.session.active and not self._ending:
            want = cable_lock.LOCK
        elif self._unlocking or (self.pilot.letter == pilot.A and not self.connected):
            want = cable_lock.UNLOCK
        may_unlock = not outputs.contactor and self._confirmed_open(readings)
        self.lock.step(want, may_unlock, readings.lock, dt_ms)
        outputs.lock_drive = self.lock.drive
        if readings.lock != self._lock_position:
            if readings.lock == LOCK_LOCKED:
                self._emit(events.LOCKED, "", 0)
            elif readings.lock == LOCK_UNLOCKED and self._lock_position >= 0:
                self._emit(events.UNLOCKED, "", 0)
            self._lock_position = readings.lock

    def _end_session(self, readings, outputs):
        """A session that is being ended ends once no more energy can flow."""
        if not self._ending or outputs.contactor:
            return
        if not self._confirmed_open(readings) and not self.faults.is_active(faults.WELDED):
            return
        self.session.end(self._ending)
        self.finished = self.connected
        self._ending = ""
        self._emit(events.SESSION_ENDED, self.session.stop_reason, self.session.energy_wh)

    def _describe(self, readings, permit, limit_ma, outputs):
        if outputs.pilot == PILOT_F:
            self.pilot_name = "F"
        elif outputs.pilot == PILOT_E:
            self.pilot_name = "E"
        else:
            names = _NAMES_2 if outputs.pilot == PILOT_PWM else _NAMES_1
            self.pilot_name = names[self.pilot.letter]

        if outputs.contactor:
            self.state = "Charging"
            self.reason = "Charging" if self.offering else "Stopping"
            outputs.led = LED_CHARGING
        elif self.faults.blocks() or (
            not self.connected and self.faults.is_active(faults.UNLOCK_FAILED)
        ):
            self.state = "Faulted"
            self.reason = faults.code_of(self.faults.first())
            outputs.led = LED_FAULT
        elif not self.config.available:
            self.state = "Unavailable"
            self.reason = "OutOfService"
            outputs.led = LED_OFF
        elif self.pilot.letter == pilot.UNKNOWN:
            self.state = "Unavailable"
            self.reason = "Starting"
            outputs.led = LED_OFF
        elif not self.connected:
            self.state = "Available"
            self.reason = "NoCar"
            outputs.led = LED_READY
        elif not self.session.active:
            outputs.led = LED_WAITING
            if self.finished:
                self.state = "Finishing"
                self.reason = "Stopped"
            else:
                self.state = "Preparing"
                self.reason = "Starting" if permit.authorized else permit.reason
        else:
            outputs.led = LED_WAITING
            self._describe_session(readings, permit, limit_ma, outputs)

    def _describe_session(self, readings, permit, limit_ma, outputs):
        if self._ending:
            self.state = "Finishing"
            self.reason = "Stopping"
        elif self.pilot.raw == pilot.A:
            self.state = "SuspendedEV"
            self.reason = "NoCar"  # for a second, then the session ends
        elif not permit.allowed:
            self.state = "SuspendedEVSE"
            self.reason = permit.reason
        elif self._needs_ventilation:
            self.state = "SuspendedEVSE"
            self.reason = "NeedsVentilation"
        elif limit_ma == 0:
            self.state = "SuspendedEVSE"
            self.reason = self.limits.limiting() or "LimitInstallation"
        elif self._uses_lock and not self.locked:
            self.state = "Preparing"
            self.reason = "Locking"
        elif self._tests_rcd and not self._rcd_test.passed():
            self.state = "Preparing"
            self.reason = "Testing"
        elif self._wake_ms > 0:
            self.state = "SuspendedEV"
            self.reason = "Waking"
        elif outputs.pilot != PILOT_PWM:
            self.state = "SuspendedEVSE" if self._offered else "Preparing"
            self.reason = "Offering"
        elif self.pilot.letter == pilot.B:
            self.state = "SuspendedEV"
            self.reason = "CarPaused" if self._asked else "WaitsForCar"
        else:
            self.state = "SuspendedEV"
            self.reason = "Offering"

    def _tell_contactor(self, readings, outputs):
        if outputs.contactor and readings.contactor_closed:
            if not self._confirmed:
                self._confirmed = True
                self._emit(events.CHARGING, "", self.session.energy_wh)
        elif self._confirmed and not outputs.contactor:
            self._confirmed = False
            self._emit(events.PAUSED, self.reason, self.session.energy_wh)

    def _emit(self, kind, code, value):
        """Tell every listener. The only place of the room that allocates, and never in peace."""
        for queue in self.listeners:
            queue.push((kind, code, value, self._now_ms))
