"""The ESP32's `time` over the interpreter's own: epoch 2000, and hooks for the virtual board.

On the live clock ticks_ms() and its arithmetic are the interpreter's own, because asyncio's C code
uses them beside this module. ticks_us() runs a little ahead when the world says that the ADC was
busy. On the manual clock all of them show the world's time, and sleeping makes it pass.

The wall clock starts at 2000-01-01 at power-on, as on a board without a battery.
"""

import _thread

import utime
import world
from utime import sleep_us as _sleep_us_real
from utime import ticks_add, ticks_cpu, ticks_diff

_UNIX_TO_2000 = 946684800

zero_s = None  # interpreter's clock at this board's 2000-01-01; the boot ROM sets it
_manual_offset_s = 0
interrupt = None  # called often; may raise KeyboardInterrupt. The boot ROM sets it.
_main = _thread.get_ident()  # the world moves, and Ctrl-C comes, in this thread only


def ticks_ms():
    if world.live:
        if interrupt is not None and _thread.get_ident() == _main:
            interrupt()
        return utime.ticks_ms()
    return world.ms


def ticks_us():
    world.elapse_us(2)
    return world.us


def sleep_ms(duration_ms):
    if not world.live:
        world.advance_by(duration_ms)
        return
    if _thread.get_ident() != _main:
        utime.sleep_ms(max(0, duration_ms))
        return
    end = utime.ticks_add(utime.ticks_ms(), max(0, duration_ms))
    while True:
        if interrupt is not None:
            interrupt()
        left = utime.ticks_diff(end, utime.ticks_ms())
        if left <= 0:
            return
        utime.sleep_ms(left if left < 5 else 5)
        world.sync()


def sleep_us(duration_us):
    """Exact to the microsecond, as on the device: the host would sleep tens of them too long.

    So the board's microseconds run ahead of the real ones, and wait until these have caught up.
    """
    if world.live and duration_us >= 10000:
        _sleep_us_real(duration_us)
    else:
        world.elapse_us(duration_us)


def sleep(duration_s):
    sleep_ms(int(duration_s * 1000))


def _now_s():
    return int(utime.time()) if world.live else world.ms // 1000


def time():
    """Seconds since 2000-01-01."""
    return _now_s() - (zero_s or 0)


def set_seconds(seconds):
    """machine.RTC sets the clock through this."""
    global zero_s
    zero_s = _now_s() - seconds


def time_ns():
    return time() * 1000000000


def gmtime(seconds=None):
    """(year, month, day, hour, minute, second, weekday, day of the year); Monday is 0."""
    if seconds is None:
        seconds = time()
    days = int(seconds) // 86400
    rest = int(seconds) - days * 86400
    weekday = (days + 5) % 7  # 2000-01-01 was a Saturday
    # Count from 1 March 1600: leap days then come last in a year and in 400 years.
    n = days + 146037
    era = n // 146097
    n -= era * 146097
    year = (n - n // 1460 + n // 36524 - n // 146096) // 365
    n -= year * 365 + year // 4 - year // 100
    month = (5 * n + 2) // 153
    day = n - (153 * month + 2) // 5 + 1
    year += 1600 + era * 400
    month += 3
    if month > 12:
        month -= 12
        year += 1
    yearday = _days(year, month, day) - _days(year, 1, 1) + 1
    return (year, month, day, rest // 3600, rest % 3600 // 60, rest % 60, weekday, yearday)


localtime = gmtime


def _days(year, month, day):
    """Days since 2000-01-01."""
    if month < 3:
        year -= 1
        month += 12
    n = 365 * year + year // 4 - year // 100 + year // 400
    return n + (153 * (month - 3) + 2) // 5 + day - 1 - 730425


def mktime(fields):
    """The inverse of gmtime(); months and days may be out of range, as on the device."""
    year, month, day, hour, minute, second = fields[:6]
    year += (month - 1) // 12
    month = (month - 1) % 12 + 1
    return _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
