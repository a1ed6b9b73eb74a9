"""Asks for the schedule with the heap locked: whatever would allocate raises MemoryError."""

import gc

import micropython

from firmware.access.schedule import Schedule

FIRST_S = 820454400  # 2026-01-01
LAST_S = 1009843200 - 1  # the end of 2031
LATE_S = 1 << 31  # in 2068: more than a small integer of the board
TEXT, RULE = "Mo-Fr 23:00-06:00; Sa,Su 00:00-24:00", "CET-1CEST,M3.5.0,M10.5.0/3"

schedule = Schedule(TEXT, RULE)


def until(t, change_s, step_s):
    """Is it the same, and the same change in sight, from `t` until that change?

    With a step of 0 it is the same second a thousand times: adding up would allocate.
    """
    was = schedule.is_open(t)
    n = 0
    while t < change_s and n < 1000:
        if schedule.is_open(t) != was or schedule.next_change_s(t) != change_s:
            return False
        if step_s:
            t += step_s
        n += 1
    return True


def locked(t, change_s, step_s):
    """The same with the heap locked."""
    gc.collect()
    before = gc.mem_alloc()
    micropython.heap_lock()
    same = until(t, change_s, step_s)
    micropython.heap_unlock()
    allocated = gc.mem_alloc() - before
    assert allocated == 0, allocated
    return same


def refused(t):
    """Is there no answer while the heap is full?"""
    answer = chain = None
    for size in (4096, 256, 16):
        try:
            while True:
                chain = (chain, bytearray(size))
        except MemoryError:
            pass
    try:
        answer = schedule.is_open(t)
    except MemoryError:
        chain = None
    return answer is None


changes = 0
t = FIRST_S
while t < LAST_S:
    change_s = schedule.next_change_s(t)
    if changes % 40:  # not all of them: each garbage collection takes its time
        assert until(t, change_s, 10800), t
    else:
        assert locked(t, change_s, 900), t
    t = change_s
    changes += 1
assert changes > 2500, changes
t = LATE_S + 5 * 86400
change_s = schedule.next_change_s(t)
assert locked(t, change_s, 0)

# Without the memory to look nothing changes, and the next time it is right.
schedule = Schedule(TEXT, RULE)
assert schedule.is_open(FIRST_S) and schedule.next_change_s(FIRST_S) < FIRST_S + 86400
change_s = schedule.next_change_s(FIRST_S)
assert refused(change_s)
assert not refused(change_s - 1) and schedule.next_change_s(FIRST_S) == change_s
assert not schedule.is_open(change_s)

gc.collect()
before = gc.mem_alloc()
another = Schedule(TEXT, RULE)
gc.collect()
print("0 bytes; an object of", gc.mem_alloc() - before, "bytes")
