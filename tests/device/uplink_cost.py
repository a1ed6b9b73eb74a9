"""What the uplink's worker costs: heap for its code, while it is connected, and for each message.

Argument: the port of a broker. Prints "name bytes" a line.
"""

import gc
import sys
import time

import umqtt.simple  # noqa: F401 -- built into the device's firmware: it does not count

import firmware.clock
import firmware.ticks  # noqa: F401 -- the charger has them anyway
from firmware.briefly import briefly
from firmware.uplink import backoff

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


rules = backoff.Backoff(1)
before = used()
from firmware.uplink import worker as worker_module

after = used()
print("code", after - before)
worker = worker_module.Worker("test-1", rules, draw)
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
