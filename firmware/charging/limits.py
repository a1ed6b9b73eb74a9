"""How much current may be offered: the smallest of all that limit it, and which one that is.

All in mA per phase. Below 6 A there is nothing to offer (IEC 61851-1): 0 means pause.
"""

from micropython import const

from firmware.charging.duty import LEAST_MA, MOST_MA
from firmware.charging.signals import NO_TEMPERATURE, PROXIMITY_FAULT, PROXIMITY_NONE

_RATING_SETTLE_MS = const(200)
_COOLER_DC = const(20)


class CableRating:
    """The cable's rating once its resistor has been read alike for 200 ms; 0 for none or unsure."""

    def __init__(self):
        self.rating_a = PROXIMITY_NONE
        self._candidate = PROXIMITY_NONE
        self._candidate_ms = 0

    def step(self, proximity_a, dt_ms):
        if proximity_a == PROXIMITY_FAULT:
            proximity_a = PROXIMITY_NONE
        if proximity_a != self._candidate:
            self._candidate = proximity_a
            self._candidate_ms = 0
        elif self._candidate_ms < _RATING_SETTLE_MS:
            self._candidate_ms += dt_ms
        if proximity_a < self.rating_a or self._candidate_ms >= _RATING_SETTLE_MS:
            self.rating_a = proximity_a  # less counts at once, more must stand still


class Derating:
    """Less current as the charger gets hot: half, a quarter, none until it has cooled down.

    A step down is taken at its temperature, the step back up 2 C below it (from none: at the
    temperature to resume at), so that the current does not swing.
    """

    def __init__(self, half_c, quarter_c, stop_c, resume_c):
        self._half_dc = half_c * 10
        self._quarter_dc = quarter_c * 10
        self._stop_dc = stop_c * 10
        self._resume_dc = resume_c * 10
        self._step = 0  # 0 full, 1 half, 2 quarter, 3 none

    def stopped(self):
        """True while it is too hot to charge at all."""
        return self._step == 3

    def limit_ma(self, temperature_dc, full_ma):
        """What of `full_ma` is left at this temperature (tenths of a degree Celsius).

        Before it is none it is 6 A or more, since less cannot be offered. Without a sensor: all.
        """
        if temperature_dc == NO_TEMPERATURE:
            return full_ma
        step = 0
        if temperature_dc >= self._stop_dc:
            step = 3
        elif temperature_dc >= self._quarter_dc:
            step = 2
        elif temperature_dc >= self._half_dc:
            step = 1
        if step < self._step:
            above_dc = self._resume_dc
            if self._step == 2:
                above_dc = self._quarter_dc - _COOLER_DC
            elif self._step == 1:
                above_dc = self._half_dc - _COOLER_DC
            if temperature_dc > above_dc:
                step = self._step
        self._step = step
        if step == 3:
            return 0
        return full_ma if step == 0 else min(full_ma, max(LEAST_MA, full_ma // (2 * step)))


class Limits:
    """Every source of a limit; its owner writes it, `effective_ma` reads them all.

    `installation_ma` comes from the settings, `cable_ma` and `temperature_ma` from `step`;
    `schedule_ma` and `lease_ma` stay at the most until somebody sets them.
    """

    def __init__(self, installation_ma, derating, fixed_cable_ma=0):
        self.installation_ma = installation_ma
        self.cable_ma = fixed_cable_ma
        self.temperature_ma = MOST_MA
        self.schedule_ma = MOST_MA
        self.lease_ma = MOST_MA
        self.cable = CableRating()
        self.derating = derating
        self._fixed_cable_ma = fixed_cable_ma  # of a tethered cable; 0: read the resistor

    def step(self, readings, dt_ms):
        """Take this tick's cable and temperature."""
        if not self._fixed_cable_ma:
            self.cable.step(readings.proximity_a, dt_ms)
            self.cable_ma = self.cable.rating_a * 1000
        self.temperature_ma = self.derating.limit_ma(readings.temperature_dc, self.installation_ma)

    def effective_ma(self):
        """The smallest of all sources, or 0 where that is less than 6 A."""
        ma = min(self.installation_ma, self.cable_ma)
        ma = min(ma, self.temperature_ma)
        ma = min(ma, self.schedule_ma)
        ma = min(ma, self.lease_ma)
        return ma if ma >= LEAST_MA else 0

    def limiting(self):
        """Which source is the smallest: a code for people, "" when it is the installation."""
        least_ma = self.installation_ma
        code = ""
        if self.temperature_ma < least_ma:
            least_ma = self.temperature_ma
            code = "LimitTemperature"
        if self.cable_ma < least_ma:
            least_ma = self.cable_ma
            code = "LimitCable"
        if self.schedule_ma < least_ma:
            least_ma = self.schedule_ma
            code = "LimitSchedule"
        if self.lease_ma < least_ma:
            code = "LimitLease"
        return code
