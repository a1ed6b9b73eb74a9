"""Energy and current where there is no meter: what the car was offered, as if it drew just that.

`wh` only grows. Usually it is more than what the car drew: `is_estimate` marks it as a guess.
Integers only, below 2^30: what is less than a Wh is carried in a finer unit.
"""

from micropython import const

from firmware import ticks

_W_MS_PER_WH = const(3600000)
_LONGEST_TICK_MS = const(10000)


class Estimate:
    """Has the attributes of a PulseMeter."""

    is_estimate = True
    is_ok = True

    def __init__(self, settings, now_ms):
        self.wh = 0
        self.power_w = 0
        self.current_ma = 0
        self._settings = settings
        self._rest_w_ms = 0
        self._last_ms = now_ms

    def read(self, now_ms, flowing, offered_ma):
        """Bring the attributes up to `now_ms`; `flowing`: a car should be drawing current."""
        dt_ms = min(max(0, ticks.diff(now_ms, self._last_ms)), _LONGEST_TICK_MS)
        self._last_ms = now_ms
        settings = self._settings
        self.current_ma = offered_ma if flowing else 0
        self.power_w = self.current_ma * settings.mains_v // 1000 * settings.phases
        self._rest_w_ms += self.power_w * dt_ms
        self.wh += self._rest_w_ms // _W_MS_PER_WH
        self._rest_w_ms %= _W_MS_PER_WH
