"""Asks for waits with the heap locked: whatever would allocate raises MemoryError."""

import gc

import micropython

from firmware.uplink import backoff

number = 0


def draw():
    global number
    number = (number + 9973) & 32767
    return number


def sweep():
    """Every window, head, urgency and reason, some failures deep."""
    for window_s in (0, 1, 258, 14400, 65535):
        charger.window_s = window_s
        for head in (0, 24, 100):
            charger.head_percent = head
            for urgency in range(3):
                charger.urgency = urgency
                charger.stable()
                for why in range(5):
                    for _ in range(6):
                        charger.ended(why)
                        charger.wait_ms(draw)
                        charger.left_ms(0)


charger = backoff.Backoff()
sweep()
gc.collect()
before = gc.mem_alloc()
micropython.heap_lock()
sweep()
micropython.heap_unlock()
assert gc.mem_alloc() == before
gc.collect()
before = gc.mem_alloc()
another = backoff.Backoff()
gc.collect()
print("0 bytes; an object of", gc.mem_alloc() - before, "bytes")
