"""Arithmetic on milliseconds that wrap, for the rooms that have no clock of their own.

`time.ticks_ms` of an ESP32 starts again at 2^30 ms (12.4 days); the unix port's 64-bit counter
does not. Whoever reads the clock masks it with `MASK`, so that every interpreter wraps alike and
the wrap can be tested. Differences are right up to half the period (6.2 days): longer durations
are counted in seconds by their owner.

Nothing here allocates on a 32-bit board: every intermediate stays within a small integer (31 bits).
"""

from micropython import const

MASK = const(0x3FFFFFFF)
_HALF = const(0x20000000)


def diff(later, earlier):
    """Milliseconds from `earlier` to `later`; negative when `later` comes first."""
    d = later - earlier
    if d >= _HALF:
        return d - _HALF - _HALF
    if d < -_HALF:
        return d + _HALF + _HALF
    return d


def add(then, delta_ms):
    """The tick `delta_ms` after `then` (before, if negative); |delta_ms| below half the period."""
    t = then - _HALF + delta_ms
    if t >= _HALF:
        return t - _HALF
    if t < -_HALF:
        return t + _HALF + _HALF + _HALF
    return t + _HALF
