"""Counts what a tick allocates: 1,000 ticks in each state, with the collector off."""

import gc
import sys

import world
from rig import Rig

TICKS = 1000
CAR = {"B": "B", "C": "C", "D": "D"}


def settle(rig, name):
    """Bring a fresh charger into the state `name`."""
    world.set(lock_permille=0, diode=True, pilot_short=False)
    world.set(plugged=False, car_connected=True, car_state="B")
    rig.permit.allowed = True
    rig.config.available = True
    rig.config.ventilation = True
    rig.config.wake_mode = "off"
    rig.limits.lease_ma = 80000
    rig.cut_power()
    if name == "Unavailable":
        rig.config.available = False
    if name != "A":
        world.set(plugged=True, cable_a=32)
    if name[0] in CAR and name[1:] in ("1", "2"):
        rig.permit.allowed = name[1] == "2"
    for _ in range(150):
        rig.tick()
    if name[0] in CAR and name[1:] in ("1", "2"):
        world.set(car_state=CAR[name[0]])
    elif name in ("Finishing", "Paused", "Faulted"):
        world.set(car_state="C")
        for _ in range(300):
            rig.tick()
        if name == "Finishing":
            rig.controller.request_stop()
        elif name == "Paused":
            rig.limits.lease_ma = 0
        else:
            world.set(diode=False)
            for _ in range(3000):  # until no try is left
                rig.tick()
    elif name == "E":
        world.set(pilot_short=True)
    elif name == "Waking":
        rig.config.wake_mode = "F"
        rig.config.wake_after_s = 1
        rig.config.wake_s = 60
    for _ in range(600):
        rig.tick()
    expected = {
        "Unavailable": "Unavailable",
        "Finishing": "Finishing",
        "Paused": "SuspendedEVSE",
        "Faulted": "Faulted",
        "E": "Faulted",
    }
    controller = rig.controller
    if name in expected:
        assert controller.state == expected[name], (name, controller.state, controller.reason)
    elif name == "Waking":
        assert controller.reason == "Waking", controller.reason
    else:
        assert controller.pilot_name == name, (name, controller.pilot_name, controller.reason)
    assert world.coil == (name in ("C2", "D2")), name


STATES = "A B1 B2 C1 C2 D1 D2 E Unavailable Finishing Paused Faulted Waking".split()

rig = Rig(sys.argv[1])
allocated = 0
bytes_before = bytes_after = 0
for state in STATES:
    settle(rig, state)
    gc.collect()
    gc.disable()
    rig.tick()
    bytes_before = gc.mem_alloc()
    for _ in range(TICKS):
        rig.tick()
    bytes_after = gc.mem_alloc()
    gc.enable()
    print(state, bytes_after - bytes_before)
    allocated += bytes_after - bytes_before
sys.exit(1 if allocated else 0)
