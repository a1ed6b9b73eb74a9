"""Asks for the schedule with the heap locked: whatever would allocate raises MemoryError."""

import gc

import micropython

from firmware.access.schedule import Schedule
from firmware.access.timezone import Timezone

FIRST_S = 820454400  # 2026-01-01
LAST_S = 1009843200 - 1  # the end of 2031
LATE_S = 1 << 31  # in 2068: more than a small integer of the board

timezone = Timezone("CET-1CEST,M3.5.0,M10.5.0/3")
schedule = Schedule("Mo-Fr 23:00-06:00; Sa,Su 00:00-24:00", timezone)


def six_years(t):
    """Every three hours until 2032: what is kept, and what must be found anew. Open how often."""
    n = 0
    while t < LAST_S:
        if schedule.is_open(t):
            n += 1
        if schedule.next_change_s(t) <= t or timezone.next_change_s(t) <= t:
            return -1
        t += 10800
    return n


def late(t):
    """One second, again and again."""
    n = 0
    for _ in range(1000):
        if schedule.is_open(t) and schedule.next_change_s(t) > t and timezone.offset_s(t):
            n += 1
    return n


def locked(function, t):
    """What `function` returns with the heap locked."""
    function(t)
    gc.collect()
    before = gc.mem_alloc()
    micropython.heap_lock()
    n = function(t)
    micropython.heap_unlock()
    allocated = gc.mem_alloc() - before
    assert allocated == 0, allocated
    return n


opened = locked(six_years, FIRST_S)
assert opened > 8000, opened  # of 17,528
late_s = LATE_S + 5 * 86400
while not schedule.is_open(late_s):
    late_s += 3600
assert locked(late, late_s) == 1000

gc.collect()
before = gc.mem_alloc()
another = Schedule("Mo-Fr 23:00-06:00; Sa,Su 00:00-24:00", Timezone("CET-1CEST,M3.5.0,M10.5.0/3"))
gc.collect()
print("0 bytes; two objects of", gc.mem_alloc() - before, "bytes together")
