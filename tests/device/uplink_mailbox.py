"""A Mailbox against a list, with random puts and takes, and between two threads. Argument: seed."""

import _thread
import gc
import random
import sys
import time

from firmware.uplink.mailbox import Mailbox

_COUNT = 20000
_WITHIN_MS = 30000

random.seed(int(sys.argv[1]))
for slots in (1, 2, 3, 8):
    box, wanted, held = Mailbox(slots), [], 0
    for n in range(1, 3000):
        what = random.randrange(100)
        if what < 55:
            assert box.put(n) == (len(wanted) < slots), (slots, n)
            if len(wanted) < slots:
                wanted.append(n)
        elif what < 99:
            held = len(wanted) > 0  # what was taken last counts until the next take
            assert box.take() == (wanted.pop(0) if held else None), (slots, n)
        else:
            box.clear()
            wanted.clear()
            held = 0
            assert box.take() is None
        assert len(box) == len(wanted) + held

# What was taken last is let go at the next take.
box = Mailbox(2)
gc.collect()
before = gc.mem_alloc()
box.put(bytearray(50000))
assert len(box.take()) == 50000 and box.take() is None
gc.collect()
assert gc.mem_alloc() - before < 25000

box = Mailbox(5)
ended = []


def fill():
    for n in range(_COUNT):
        while not box.put((n, str(n))):
            time.sleep_us(10)
    ended.append(True)


_thread.start_new_thread(fill, ())
began = time.ticks_ms()
for n in range(_COUNT):
    while True:
        message = box.take()
        if message:
            break
        assert time.ticks_diff(time.ticks_ms(), began) < _WITHIN_MS, n
        time.sleep_us(10)
    assert message == (n, str(n)), (n, message)
while not ended:
    time.sleep_ms(1)
assert box.take() is None and not len(box)
print("ok")
