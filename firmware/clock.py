"""Time: wrapped milliseconds for durations, seconds of uptime, and a wall clock with its quality.

Promises: durations never depend on the wall clock, which is a label only and is unknown after a
start until somebody sets it. `advance` allocates nothing and must come at least every six days.
Does not set the chip's RTC, so that a wrong time from outside cannot disturb anything else.
"""

import time

from firmware import ticks

# A better source may correct a worse one, never the other way round.
QUALITIES = ("unknown", "phone", "cloud", "ntp")

_1970_TO_2000_S = 946684800
# Counted from 2000, seconds fit a small integer of the board until 2034; the unix port's epoch is
# 1970, the device's 2000: convert here and nowhere else.
_EPOCH_S = _1970_TO_2000_S if time.gmtime(0)[0] == 1970 else 0


def now_ms():
    """The monotonic clock in wrapped milliseconds, for `firmware.ticks`."""
    return time.ticks_ms() & ticks.MASK


def epoch_to_unix(s):
    """Seconds since 1970 of a time in the seconds of this port's own epoch."""
    return s if _EPOCH_S else s + _1970_TO_2000_S


class Clock:
    """`uptime_s` counts since the start; `boot` is the number of this start, from 1."""

    def __init__(self, boot, now):
        self.boot = boot
        self.uptime_s = 0
        self.quality = QUALITIES[0]
        self.changes = 0  # how often the wall clock was set
        self._last_ms = now
        self._rest_ms = 0
        self._start_s = 0  # wall clock at uptime 0, seconds since 2000

    def advance(self, now):
        """Count the time up to `now`, in wrapped milliseconds."""
        self._rest_ms += ticks.diff(now, self._last_ms)
        self._last_ms = now
        while self._rest_ms >= 1000:
            self._rest_ms -= 1000
            self.uptime_s += 1

    def set(self, unix_s, quality):
        """Set the wall clock, in seconds since 1970. False: the time in force is of better quality.

        ValueError for a quality that is unknown and for a time before 2024.
        """
        if quality not in QUALITIES[1:]:
            raise ValueError("no such clock quality")
        if unix_s < 1704067200:
            raise ValueError("that time is long past")
        if QUALITIES.index(quality) < QUALITIES.index(self.quality):
            return False
        self._start_s = unix_s - _1970_TO_2000_S - self.uptime_s
        self.quality = quality
        self.changes += 1
        return True

    def quality_number(self):
        """The quality as its place among QUALITIES: 0 is unknown."""
        return QUALITIES.index(self.quality)

    def utc_s(self):
        """The wall clock in seconds since 2000, or None while it is unknown."""
        return None if self.quality == QUALITIES[0] else self._start_s + self.uptime_s

    def utc(self):
        """The wall clock as "2026-11-23T05:22:00Z", or None while it is unknown."""
        return self.utc_at(self.uptime_s)

    def utc_at(self, uptime_s):
        """The wall clock as it was, or will be, at `uptime_s`; None while it is unknown."""
        if self.quality == QUALITIES[0]:
            return None
        return text(self._start_s + uptime_s)


def text(utc_s):
    """A time in seconds since 2000 as "2026-11-23T05:22:00Z"; utc_text.py reads it."""
    t = time.gmtime(utc_s + _EPOCH_S)
    return "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}Z".format(*t[:6])
