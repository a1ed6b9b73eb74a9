"""The control pilot: from two voltages to the letter of IEC 61851-1.

The car's part of the state is A, B, C or D; the charger's part (1 without PWM, 2 with it) is added
by the controller, which knows what it drives. Promises, for one `step` a tick:

- `raw` is the letter of this very reading: the contactor opens by it, at once.
- `letter` is `raw` after it stood still for a while: the contactor closes by it.
- `diode_ms` tells for how long the lower half has shown the car's diode, `diode_lost` that it does
  so no more.

Levels: IEC 61851-1; their windows: SAE J1772.
"""

from micropython import const

from firmware.charging.signals import PILOT_PWM, PILOT_STEADY

UNKNOWN = const(0)  # nothing settled since start-up, or since the line was last cut off
A = const(1)
B = const(2)
C = const(3)
D = const(4)
E = const(5)
F = const(6)
LETTERS = "?ABCDEF"

# Between the windows of the standard (B ends at 8.36 V, C begins at 6.49 V, ...), about half way.
_A_B_MV = const(10500)
_B_C_MV = const(7500)
_C_D_MV = const(4400)
_D_E_MV = const(1500)
_E_F_MV = const(-6000)
_HYSTERESIS_MV = const(300)  # to leave a state; every window of the standard lies further off

# Half way between -12 V and the -9 V of a car in state B without its diode.
_DIODE_MV = const(-10500)

_SETTLE_MS = const(100)
# A loose plug must not end a session: A counts later than the others. The contactor does not wait
# for it, and 4 s remain of the 5 s in which the cable is to be released.
_GONE_MS = const(1000)
# A reading without the lower half may be a sample that was missed, and one reading after a long
# tick is still only one; two of them over 60 ms are a missing diode.
_LOST_MS = const(60)
_LOST_READINGS = const(2)
_LONG_MS = const(600000)  # counters stop here, far below the wrap of the ticks


def letter_of(high_mv, current):
    """The letter of an upper level in mV. Within 0.3 V of a border, `current` is kept."""
    margin = _HYSTERESIS_MV
    if high_mv > _A_B_MV + (margin if current >= B else -margin if current == A else 0):
        return A
    if high_mv > _B_C_MV + (margin if current >= C else -margin if current else 0):
        return B
    if high_mv > _C_D_MV + (margin if current >= D else -margin if current else 0):
        return C
    if high_mv > _D_E_MV + (margin if current >= E else -margin if current else 0):
        return D
    if high_mv > _E_F_MV + (margin if current >= F else -margin if current else 0):
        return E
    return F


class PilotLine:
    """The filtered view of the pilot line."""

    def __init__(self):
        self.raw = UNKNOWN
        self.letter = UNKNOWN
        self.diode_ms = 0
        self._lost_ms = 0
        self._lost_readings = 0
        self._candidate = UNKNOWN
        self._candidate_ms = 0

    def step(self, high_mv, low_mv, driven, dt_ms):
        """Take one reading; `driven` is the Outputs.pilot that was on the line meanwhile."""
        if driven != PILOT_PWM and driven != PILOT_STEADY:
            # The charger itself holds the line at E or F: it says nothing about the car.
            self.raw = UNKNOWN
            self.diode_ms = self._lost_ms = self._lost_readings = 0
            self._candidate = UNKNOWN
            return
        raw = letter_of(high_mv, self.letter)
        self.raw = raw
        if raw == self.letter:
            self._candidate = UNKNOWN
        else:
            if raw != self._candidate:
                self._candidate = raw
                self._candidate_ms = 0
            else:
                self._candidate_ms += dt_ms
            gone = raw == A and self.letter != UNKNOWN
            if self._candidate_ms >= (_GONE_MS if gone else _SETTLE_MS):
                self.letter = raw
                self._candidate = UNKNOWN
        if driven == PILOT_PWM and low_mv < _DIODE_MV:
            self.diode_ms = min(self.diode_ms + dt_ms, _LONG_MS)
            self._lost_ms = self._lost_readings = 0
        else:
            self.diode_ms = 0
            if driven == PILOT_PWM:
                self._lost_ms = min(self._lost_ms + dt_ms, _LONG_MS)
                self._lost_readings = min(self._lost_readings + 1, _LOST_READINGS)
            else:
                self._lost_ms = self._lost_readings = 0

    def diode_lost(self):
        """True when the PWM's lower half has been missing for longer than a bad sample explains."""
        return self._lost_readings >= _LOST_READINGS and self._lost_ms >= _LOST_MS

    def draws(self):
        """True while this reading alone shows a car that wants energy (C or D)."""
        return self.raw == C or self.raw == D
