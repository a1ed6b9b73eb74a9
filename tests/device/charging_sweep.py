"""Random steps of people, cars, cables, faults and power, checked against the physical truth.

Usage: charging_sweep.py BOARD SEED STEPS. What is checked is what the world's contacts, lock and
pilot really do, not what the controller says of itself. Prints the seed first: the same seed
repeats everything.
"""

import random
import sys

import world
from rig import Rig

from firmware import ticks
from firmware.charging.signals import PILOT_PWM

board_name = sys.argv[1]
seed = int(sys.argv[2])
steps = int(sys.argv[3])
print("seed", seed, "board", board_name)
random.seed(seed)

_C_OR_D_MV = (1200, 7800)  # windows of the standard with the controller's hysteresis
_CD_MS = 100
_DIODE_MS = 100
_LOST_MS = 100
_WITHDRAWN_MS = 6100  # of IEC 61851-1's 6 s, and the ticks around it
_DUTY_MS = 5000

rig = Rig(board_name, 32000 if board_name == "esp32_devkit" else 0)
socket = rig.board.capabilities.has_lock and not rig.config.tethered
has_rcd = rig.board.capabilities.has_rcd
feedback = rig.board.capabilities.has_contactor_feedback
pulse_ms = rig.board.capabilities.lock_pulse_ms
counts = {}


def chance(one_in):
    return random.getrandbits(16) % one_in == 0


def pick(*choices):
    return choices[random.getrandbits(16) % len(choices)]


def change(**fields):
    try:
        world.set(**fields)
    except ValueError:
        counts["held"] = counts.get("held", 0) + 1  # the lock holds the plug


def repair():
    """Good weather again: nothing is broken, nothing forbids charging."""
    change(
        diode=True,
        pilot_short=False,
        rcd_tripped=False,
        jammed=False,
        lock_feedback_broken=False,
        contactor_stuck_open=False,
        welded=False,
        temperature_dc=250,
        rcd_self_test_ok=True,
        asleep=False,
        ignores_duty=False,
        meter_silent=False,
    )
    rig.config.available = True
    rig.permit.allowed = True
    rig.limits.lease_ma = 80000
    rig.controller.request_start()


def disturb():
    """One thing that happens now. Good weather mostly, or nothing would ever charge."""
    n = random.getrandbits(16) % 100
    if n < 25:
        change(car_state=pick("B", "C", "C", "C", "D"))
    elif n < 40:
        change(plugged=True, car_connected=True, cable_a=pick(13, 20, 32, 63))
    elif n < 46:
        change(car_connected=not world.car_connected)
    elif n < 50:
        change(car_connected=False)
        change(plugged=False)
    elif n < 56:
        rig.permit.allowed = chance(3) is False
    elif n < 62:
        rig.limits.lease_ma = pick(80000, 80000, 5000, 6000, 10000, 13000, 16000)
    elif n < 66:
        pick(
            rig.controller.request_start,
            rig.controller.request_stop,
            rig.controller.request_unlock,
        )()
    elif n < 68:
        change(diode=chance(2))
    elif n < 70:
        change(pilot_short=chance(2))
    elif n < 72:
        change(rcd_tripped=chance(2))
    elif n < 74:
        change(jammed=chance(2))
    elif n < 75:
        change(lock_feedback_broken=chance(2))
    elif n < 77 and feedback:
        change(welded=chance(3))
    elif n < 78:
        change(contactor_stuck_open=chance(3))
    elif n < 80:
        change(temperature_dc=pick(250, 640, 660, 690, 720, 610))
    elif n < 81:
        change(asleep=chance(2))
    elif n < 82:
        change(ignores_duty=chance(2), draw_ma=pick(8000, 16000, 32000))
    elif n < 83:
        change(rcd_self_test_ok=not chance(3))
    elif n < 84:
        change(meter_silent=chance(3))
    elif n < 85:
        rig.config.available = not chance(2)
    elif n < 86:
        rig.config.ventilation = chance(2)
    elif n < 87:
        change(noise_mv=pick(0, 0, 5))
    elif n < 92:
        repair()
    elif n < 93:
        counts["power cuts"] = counts.get("power cuts", 0) + 1
        rig.cut_power(pick(20, 500, 5000))
        return True
    return False


broken = []


def must(holds, invariant):
    if not holds and invariant not in broken:
        broken.append(invariant)


class Truth:
    """Ages, in ms, of what the invariants speak of. Everything is read from the world."""

    def __init__(self):
        self.no_cd_ms = self.no_diode_ms = self.unlocked_ms = self.no_permit_ms = 0
        self.fault_ms = 0
        self.no_diode_readings = 0
        self.duty_permille = 0
        self.duty_ms = _DUTY_MS
        self.last_ms = world.ms

    def before(self):
        """After time has passed and before the firmware looks: what is there to be seen."""
        step_ms = ticks.diff(world.ms, self.last_ms)  # measuring takes time as well
        self.last_ms = world.ms
        level_mv = world.pilot_high_mv
        in_window = _C_OR_D_MV[0] <= level_mv <= _C_OR_D_MV[1]
        self.no_cd_ms = 0 if in_window else self.no_cd_ms + step_ms
        pwm = rig.outputs.pilot == PILOT_PWM
        diode_gone = pwm and world.pilot_low_mv > -10000
        self.no_diode_ms = self.no_diode_ms + step_ms if diode_gone else 0
        self.no_diode_readings = self.no_diode_readings + 1 if diode_gone else 0
        locked = not socket or (world.lock_permille >= 900 and not world.lock_feedback_broken)
        self.unlocked_ms = 0 if locked else self.unlocked_ms + step_ms
        offered = rig.permit.allowed and rig.limits.lease_ma >= 6000
        self.no_permit_ms = 0 if offered else self.no_permit_ms + step_ms
        # the self-test trips the device on purpose, with the contactor open
        self.fault_ms = self.fault_ms + step_ms if has_rcd and world.rcd_tripped else 0
        self.duty_ms += step_ms
        self.seen_outside = not in_window

    def after(self):
        """After the firmware has acted."""
        if world.coil:
            counts["closed"] = counts.get("closed", 0) + 1
            must(self.no_cd_ms <= _CD_MS, "closed without C or D for 100 ms")
            must(not self.seen_outside, "not opened in the tick that saw neither C nor D")
            # after long ticks it is the second reading that counts, however late
            seen_twice = self.no_diode_readings > 2
            must(self.no_diode_ms <= _DIODE_MS or not seen_twice, "closed without the diode")
            must(self.unlocked_ms == 0, "closed without the lock confirmed")
            must(self.no_permit_ms <= _WITHDRAWN_MS, "closed without a permit")
            must(self.fault_ms == 0, "closed with a fault")
        if world.lock_drive < 0:
            counts["unlocking"] = counts.get("unlocking", 0) + 1
            must(not world.coil, "unlocked with the contactor commanded closed")
            must(not world.contactor_closed, "unlocked with the contactor not open")
        must(
            world.lock_drive_longest_ms <= pulse_ms,
            "lock motor driven for %d ms" % world.lock_drive_longest_ms,
        )
        permille = world.duty_permille
        if 0 < permille < 1000 and permille != self.duty_permille:
            must(
                self.duty_ms >= _DUTY_MS or not self.duty_permille,
                "duty changed after %d ms" % self.duty_ms,
            )
            self.duty_permille = permille
            self.duty_ms = 0
            counts["duty changes"] = counts.get("duty changes", 0) + 1


def observed_step(step_ms):
    world.advance_by(step_ms)
    truth.before()
    rig.step()
    truth.after()


def until(condition, most_ms, what):
    started_ms = world.ms
    while not condition():
        observed_step(20)
        if ticks.diff(world.ms, started_ms) > most_ms:
            must(False, "stuck: " + what)
            return


def recovers():
    """From wherever the charger is: repaired, a car can be unplugged, plugged in and charged.

    Somebody presses "release the cable": a bolt that stuck half way looks open to its contact.
    """
    repair()
    change(car_connected=False)
    rig.controller.request_unlock()
    until(lambda: not socket or not world.lock_holds(), 30000, "the cable is not released")
    change(plugged=False)
    until(lambda: rig.controller.state == "Available", 15000, "not available again")
    change(plugged=True, car_connected=True, cable_a=32, car_state="C", asleep=False)
    until(lambda: world.contactor_closed, 90000, "does not charge")
    counts["recovered"] = counts.get("recovered", 0) + 1


truth = Truth()
first_broken = 0
for step in range(steps):
    if not broken:
        if chance(60) and disturb():
            truth = Truth()  # a power cut: the car has seen the pilot go
        if step % 5000 == 4999:
            recovers()
    elif not first_broken:
        first_broken = step
    elif step > first_broken + 20:
        break
    observed_step(pick(20, 20, 20, 20, 20, 20, 17, 23, 40, 80))

if broken:
    print("step %d: %s" % (first_broken, "; ".join(broken)))
    print("state", rig.controller.state, rig.controller.pilot_name, rig.controller.reason)
    sys.exit(1)
print(steps, "steps;", counts)
for needed in ("closed", "unlocking", "duty changes", "power cuts", "held", "recovered"):
    if not counts.get(needed) and (socket or needed not in ("unlocking", "held")):
        print("the sweep never reached:", needed)
        sys.exit(1)
