"""Random steps of people, cars, cables, faults and power, checked against the physical truth.

Usage: charging_sweep.py BOARD SEED STEPS. Prints the seed first: the same seed repeats everything.
Here the permit is thrown like a die; in access_sweep.py the access room gives it.
"""

import random
import sys

import sweep_truth
import world
from rig import Rig
from sweep_truth import Truth, chance, change, count, cut_power, pick

board_name = sys.argv[1]
seed = int(sys.argv[2])
steps = int(sys.argv[3])
print("seed", seed, "board", board_name)
random.seed(seed)

rig = Rig(board_name, 32000 if board_name == "esp32_devkit" else 0)
truth = Truth(rig, lambda: rig.permit.allowed and rig.limits.lease_ma >= 6000)


def repair():
    """Good weather again: nothing is broken, nothing forbids charging."""
    sweep_truth.good_weather()
    rig.config.available = True
    rig.permit.authorized = rig.permit.allowed = True
    rig.limits.lease_ma = 80000
    rig.controller.request_start()


def disturb():
    """One thing that happens now."""
    n = random.getrandbits(16) % 100
    if n < 50:
        sweep_truth.car_moves(n)
    elif n < 56:
        rig.permit.authorized = not chance(3)
        rig.permit.allowed = rig.permit.authorized and not chance(3)
    elif n < 62:
        rig.limits.lease_ma = pick(80000, 80000, 5000, 6000, 10000, 13000, 16000)
    elif n < 66:
        pick(
            rig.controller.request_start,
            rig.controller.request_stop,
            rig.controller.request_unlock,
        )()
    elif n < 87:
        sweep_truth.weather_changes(n, rig)
    elif n < 92:
        repair()
    elif n < 93:
        cut_power(rig)
        truth.start()


def recovers():
    """From wherever the charger is: repaired, a car can be unplugged, plugged in and charged."""
    repair()
    truth.unplugged()
    change(plugged=True, car_connected=True, cable_a=32, car_state="C", asleep=False)
    truth.until(lambda: world.contactor_closed, 90000, "does not charge")
    count("recovered")


sweep_truth.sweep(truth, steps, disturb, recovers)
if steps >= 20000:
    sweep_truth.reached(
        truth, "closed", "unlocking", "duty changes", "power cuts", "held", "recovered"
    )
