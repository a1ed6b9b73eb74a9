"""Asks who may charge with the heap locked: whatever would allocate raises MemoryError.

Every state of a session, every policy, online, offline and on purpose, every kind of key; each time
for long enough that a held tap, a notice, a question to the cloud and a delay run out meanwhile.
"""

import gc

import micropython
from access_station import KARI, Station

from firmware import permission
from firmware.access import decision
from firmware.access.schedule import Schedule

_DT_MS = 250
_TICKS = 48  # 12 s
NOON_S = 820540800 + 12 * 3600

schedule = Schedule("08:00-11:00; 11:00-13:00", "CET-1CEST,M3.5.0,M10.5.0/3")


def draw(most_ms):
    return most_ms


def at(stage):
    """A station whose charging room stands where `stage` says."""
    s = Station(random_ms=[], schedule=schedule, offline_scheduled=True, online_scheduled=True)
    if stage == decision.STARTING:
        return s
    s.run(1200)
    if stage == decision.PLUGGED:
        s.readings.rcd_tripped = True
    if stage != decision.NO_CAR:
        s.plugged_in()
    if stage == decision.RUNNING or stage == decision.FINISHED:
        s.charges()
    if stage == decision.FINISHED:
        s.controller.request_stop()
        s.pauses()
        s.run(1000)
    return s


def asks(s, utc_s):
    """Twelve seconds of ticks; how often the permit was withheld."""
    n = 0
    for i in range(_TICKS):
        if i % 4 == 0:
            s.access.tell_time(utc_s)
        permission.ask(s.access, s.controller, _DT_MS, s.permit)
        if not s.permit.allowed:
            n += 1
    return n


def locked(s, utc_s):
    s.access.tell_time(utc_s)  # finding the next change takes memory, a few times a day
    micropython.heap_lock()
    try:
        return asks(s, utc_s)
    finally:
        micropython.heap_unlock()


STAGES = (
    decision.STARTING,
    decision.NO_CAR,
    decision.PLUGGED,
    decision.RUNNING,
    decision.FINISHED,
)
KEYS = (
    decision.NO_KEY,
    decision.CHECKING,
    decision.UNKNOWN,
    decision.KNOWN,
    decision.EXPIRED,
)
runs = withheld = 0
for stage in STAGES:
    s = at(stage)
    access = s.access
    access._draw = draw
    assert permission.stage_of(s.controller) == stage
    for offline_who in (decision.OPEN, decision.ANY_KEY, decision.KNOWN_KEY):
        for online_who in (decision.OPEN, decision.ANY_KEY, decision.KNOWN_KEY, decision.CLOUD):
            access.offline_who = offline_who
            access.online_who = online_who
            for mode in (decision.OFFLINE, decision.ONLINE, decision.DELIBERATE):
                access.online = mode != decision.OFFLINE
                access.go_offline(3600 if mode == decision.DELIBERATE else 0)
                for key in KEYS:
                    extras = runs % 4
                    access.delay_most_ms = 3000 if extras == 1 else 0
                    access.lease(6000, 3) if extras == 2 else access.lease(80000, 1)
                    access.owner_hurries = extras == 3
                    access.began_scheduled = runs % 3 > 0
                    access.waits_for_clock = runs % 5 > 2
                    utc_s = (None, NOON_S, NOON_S - 7200, NOON_S + 43200)[runs % 7 % 4]
                    access.owner_length = 0 if runs % 2 else 4
                    if key != decision.NO_KEY:
                        access.tap(KARI, 4)
                        if key != decision.CHECKING:
                            access.found(key)
                    withheld += locked(s, utc_s)
                    runs += 1
s.access.tell_time(NOON_S)
gc.collect()
before = gc.mem_alloc()
for _ in range(10):
    asks(s, NOON_S)
allocated = gc.mem_alloc() - before
assert allocated == 0, allocated
assert 0 < withheld < runs * _TICKS
print(runs, "states,", runs * _TICKS, "ticks, 0 bytes")
