"""What random sweeps share: chance, the weather, and the physical truth that must hold in all.

What is checked is what the world's contacts, lock and pilot really do, not what the controller says
of itself. The sweeps (charging_sweep.py, access_sweep.py) add people and their wishes.
"""

import random
import sys

import world

from firmware import ticks
from firmware.charging.signals import PILOT_PWM

_C_OR_D_MV = (1200, 7800)  # windows of the standard with the controller's hysteresis
_CD_MS = 100
_DIODE_MS = 100
WITHDRAWN_MS = 6100  # of IEC 61851-1's 6 s, and the ticks around it
_DUTY_MS = 5000

counts = {}
broken = []


def chance(one_in):
    return random.getrandbits(16) % one_in == 0


def pick(*choices):
    return choices[random.getrandbits(16) % len(choices)]


def count(name):
    counts[name] = counts.get(name, 0) + 1


def must(holds, invariant):
    if not holds and invariant not in broken:
        broken.append(invariant)


def change(**fields):
    """Change the world; the lock may hold the plug."""
    try:
        world.set(**fields)
    except ValueError:
        count("held")


def good_weather():
    """Nothing is broken."""
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


def car_moves(n):
    """Something about the car, for `n` below 50. Mostly to the good, or nothing would charge."""
    if n < 25:
        change(car_state=pick("B", "C", "C", "C", "D"))
    elif n < 40:
        change(plugged=True, car_connected=True, cable_a=pick(13, 20, 32, 63))
    elif n < 46:
        change(car_connected=not world.car_connected)
    else:
        change(car_connected=False)
        change(plugged=False)


def weather_changes(n, rig):
    """Something breaks or mends, for `n` from 66 to 86."""
    if n < 68:
        change(diode=chance(2))
    elif n < 70:
        change(pilot_short=chance(2))
    elif n < 72:
        change(rcd_tripped=chance(2))
    elif n < 74:
        change(jammed=chance(2))
    elif n < 75:
        change(lock_feedback_broken=chance(2))
    elif n < 77 and rig.board.capabilities.has_contactor_feedback:
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
    else:
        change(noise_mv=pick(0, 0, 5))


def cut_power(rig):
    count("power cuts")
    rig.cut_power(pick(20, 500, 5000))


class Truth:
    """Ages, in ms, of what the invariants speak of. Everything is read from the world.

    `offers` says whether the charger may offer current in this tick; `late_ms` how long it may take
    until it does not, apart from the car's 6 s.
    """

    def __init__(self, rig, offers, late_ms=0):
        self.rig = rig
        self.offers = offers
        self.late_ms = late_ms
        capabilities = rig.board.capabilities
        self.socket = capabilities.has_lock and not rig.config.tethered
        self.has_rcd = capabilities.has_rcd
        self.pulse_ms = capabilities.lock_pulse_ms
        self.start()

    def start(self):
        """Anew, as after a power cut: the car has seen the pilot go."""
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
        pwm = self.rig.outputs.pilot == PILOT_PWM
        diode_gone = pwm and world.pilot_low_mv > -10000
        self.no_diode_ms = self.no_diode_ms + step_ms if diode_gone else 0
        self.no_diode_readings = self.no_diode_readings + 1 if diode_gone else 0
        locked = not self.socket or (world.lock_permille >= 900 and not world.lock_feedback_broken)
        self.unlocked_ms = 0 if locked else self.unlocked_ms + step_ms
        self.no_permit_ms = 0 if self.offers() else self.no_permit_ms + step_ms
        # the self-test trips the device on purpose, with the contactor open
        self.fault_ms = self.fault_ms + step_ms if self.has_rcd and world.rcd_tripped else 0
        self.duty_ms += step_ms
        self.seen_outside = not in_window

    def after(self):
        """After the firmware has acted."""
        if world.coil:
            count("closed")
            must(self.no_cd_ms <= _CD_MS, "closed without C or D for 100 ms")
            must(not self.seen_outside, "not opened in the tick that saw neither C nor D")
            # after long ticks it is the second reading that counts, however late
            seen_twice = self.no_diode_readings > 2
            must(self.no_diode_ms <= _DIODE_MS or not seen_twice, "closed without the diode")
            must(self.unlocked_ms == 0, "closed without the lock confirmed")
            must(self.no_permit_ms <= WITHDRAWN_MS + self.late_ms, "closed without a permit")
            must(self.fault_ms == 0, "closed with a fault")
        if world.lock_drive < 0:
            count("unlocking")
            must(not world.coil, "unlocked with the contactor commanded closed")
            must(not world.contactor_closed, "unlocked with the contactor not open")
        must(
            world.lock_drive_longest_ms <= self.pulse_ms,
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
            count("duty changes")

    def step(self, step_ms):
        """One tick of the firmware, observed."""
        world.advance_by(step_ms)
        self.before()
        self.rig.step()
        self.after()

    def until(self, condition, most_ms, what):
        """Ticks until `condition()` holds; False, and an invariant broken, when it never does."""
        started_ms = world.ms
        while not condition():
            self.step(20)
            if broken:
                return False
            if ticks.diff(world.ms, started_ms) > most_ms:
                must(False, "stuck: " + what)
                return False
        return True

    def released(self):
        return not self.socket or not world.lock_holds()

    def unplugged(self):
        """Somebody presses "release the cable" and pulls it; the charger is free again.

        A bolt that stuck half way looks open to its contact: who pulls in vain presses again.
        """
        change(car_connected=False)
        self.rig.controller.request_unlock()
        for _ in range(250):
            if not self.released():
                self.step(20)
        if not self.released():
            self.rig.controller.request_unlock()
        self.until(self.released, 25000, "the cable is not released")
        change(plugged=False)
        return self.until(
            lambda: self.rig.controller.state == "Available", 15000, "not available again"
        )


def sweep(truth, steps, disturb, recovers, disturbed_in=60, recovers_in=5000):
    """Random steps: one in `disturbed_in` disturbs. Exits 1 if an invariant was broken.

    `disturb` may return for how many steps nothing is to happen, and it is called after them.
    """
    first_broken = -1
    quiet = 0
    for step in range(steps):
        if not broken:
            if quiet:
                quiet -= 1
            if not quiet and chance(disturbed_in):
                quiet = disturb() or 0
            if step % recovers_in == recovers_in - 1:
                recovers()
        elif first_broken < 0:
            first_broken = step
        elif step > first_broken + 20:
            break
        truth.step(pick(20, 20, 20, 20, 20, 20, 17, 23, 40, 80))
    if broken:
        controller = truth.rig.controller
        print("step %d: %s" % (first_broken if first_broken >= 0 else steps, "; ".join(broken)))
        print("state", controller.state, controller.pilot_name, controller.reason)
        sys.exit(1)
    print(steps, "steps;", counts)


def reached(truth, *names):
    """Exits 1 for a name that was never counted: the sweep has seen too little to say anything."""
    for name in names:
        if not counts.get(name) and (truth.socket or name not in ("unlocking", "held")):
            print("the sweep never reached:", name)
            sys.exit(1)
