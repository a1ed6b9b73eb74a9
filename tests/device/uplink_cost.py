"""What the uplink costs: heap for its room's code, while it is connected, and for each message.

Runs in the form that is flashed, where the room is one module. Argument: the port of a broker.
Prints "name bytes" a line.
"""

import gc
import sys
import time

import umqtt.simple  # noqa: F401 -- built into the device's firmware: it does not count

import firmware.app  # noqa: F401 -- the charger has it anyway
from firmware.settings import briefly  # where the rooms are one file each

_IDLE_MS = 3000
_TICK_MS = 16


def used():
    gc.collect()
    return gc.mem_alloc()


def draw(most):
    return 0


def wait(condition, what):
    for _ in range(1000):
        if condition():
            return
        time.sleep_ms(_TICK_MS)
    raise AssertionError(what)


def idle(ms):
    before = gc.mem_alloc()
    for _ in range(ms // _TICK_MS):
        time.sleep_ms(_TICK_MS)
    return gc.mem_alloc() - before


# The table of names grows by 4 KB at once, at a number of names that depends on what else has run
# in this process: not in the middle of what follows.
size = used()
n = 0
while used() - size < 2000:
    size = used()
    getattr(gc, "name_%d" % n, None)
    n += 1
    assert n < 2000
before = used()
from firmware.uplink import uplink as room

after = used()
print("code", after - before)
worker = room.Worker("test-1", room.Backoff(1), draw)  # type: ignore[attr-defined]
print("object", used() - after)
before = used()
briefly("firmware.uplink.broker").choose(worker, "127.0.0.1", int(sys.argv[1]), False, "", "")
print("choosing", gc.mem_alloc() - before)
wait(lambda: worker.state == "connected", worker.why)
idle(200)  # the connection's first round, and what was taken last
print("connected", used() - after)
used()
print("idle_per_min", idle(_IDLE_MS) * 60000 // _IDLE_MS)
payload = bytes(500)
used()
before = gc.mem_alloc()
for _ in range(8):
    worker.up.put(("events", payload, 1, False))
wait(lambda: not len(worker.up), "not sent")
idle(100)
print("message", (gc.mem_alloc() - before) // 8)
worker.stop()
wait(lambda: not worker.running, "not ended")
