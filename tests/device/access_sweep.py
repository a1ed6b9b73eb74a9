"""Random taps, answers, leases, cuts and clocks around a charger with the real access room.

Usage: access_sweep.py BOARD SEED STEPS. Prints the seed first: the same seed repeats everything.
The physical truth is that of charging_sweep.py; who may charge is judged by access_witness.py.
"""

import random
import sys

import sweep_truth
import world
from access_witness import NO_LIMIT_MA, Policies, Witness
from rig import Rig
from sweep_truth import Truth, chance, change, count, cut_power, must, pick

from firmware import permission, ticks
from firmware.access.authorization import Authorization
from firmware.access.decision import ANY_KEY, CLOUD, EXPIRED, KNOWN, KNOWN_KEY, OPEN, UNKNOWN
from firmware.access.schedule import Schedule
from firmware.charging.events import EventQueue
from firmware.charging.signals import Permit

board_name = sys.argv[1]
seed = int(sys.argv[2])
steps = int(sys.argv[3])
print("seed", seed, "board", board_name)
random.seed(seed)

DAY_S = 820540800  # 2026-01-01, a Thursday
WINDOWS = ((0, 240), (390, 720), (840, 1200))  # minutes of every day, on the wall
SCHEDULE = "00:00-04:00, 06:30-12:00, 14:00-20:00"
EAST_S = 3600
KARI = b"\x04\x11\x22\x33"
SPARE = b"\x04\x11\x22\x34"
OLA = b"\x04\x55\x66\x77\x88\x99\xaa"
LAPSED = b"\x04\x0a\x0b\x0c"
STRANGER = b"\x04\x01\x02\x03\x04\x05\x06"
TEN_BYTES = b"\x04\x11\x22\x33\x00\x00\x00\x00\x00\x00"
CARDS = (KARI, SPARE, OLA, LAPSED, STRANGER, TEN_BYTES)


class AccessRig(Rig):
    """A rig whose permit comes from the access room; list, cloud and clock answer as told here."""

    def __init__(self, board_name, fixed_cable_ma):
        self.policies = Policies()
        self.list = {}
        self.accepted = {KARI: True}  # by the cloud
        self.utc_s = None
        self.second_ms = 0
        self.witness = Witness(self.policies, self.is_open)
        super().__init__(board_name, fixed_cable_ma)

    def boot(self):
        super().boot()
        self.permit = Permit()
        self.access = Authorization(lambda most_ms: random.getrandbits(20) % (most_ms + 1))
        self.access.schedule = Schedule(SCHEDULE, "CET-1")
        self.configure()
        self.queue = EventQueue(16)
        self.controller.listeners.append(self.queue)
        self.last_ms = world.ms
        self.look_up_ms = -1  # left until the list answers
        self.asked_number = -1  # the question that the cloud has
        self.answer_ms = -1
        self.answer = None
        self.asked_uid = b""
        self.witness.power_on()

    def configure(self):
        """What is set goes into the access room, as the app does it."""
        for name, value in self.policies.__dict__.items():
            setattr(self.access, name, value)

    def is_open(self):
        """The schedule by the wall clock: no arithmetic of the firmware's."""
        if self.utc_s is None:
            return None
        minute = (self.utc_s - DAY_S + EAST_S) // 60 % 1440
        return any(start <= minute < end for start, end in WINDOWS)

    def step(self):
        access, controller, witness = self.access, self.controller, self.witness
        self.board.read(self.readings)
        dt_ms = ticks.diff(world.ms, self.last_ms)
        self.last_ms = world.ms
        self.second_ms += dt_ms
        if self.second_ms >= 1000:
            if self.utc_s is not None:
                self.utc_s += self.second_ms // 1000
            self.second_ms %= 1000
            access.tell_time(self.utc_s)
        self._list_answers(dt_ms)
        self._cloud_answers(dt_ms)
        access.online = witness.online
        witness.looks(controller)
        permission.ask(access, controller, dt_ms, self.permit)
        if access.asks and access.ask_number != self.asked_number:
            self._cloud_is_asked()
        controller.step(self.readings, self.permit, world.ms, self.outputs)
        permission.settle(access, controller)
        while True:
            event = self.queue.pop()
            if event is None:
                break
            witness.tell(event, controller)
        witness.settles(controller)
        must(not self.outputs.contactor or controller.session.active, "closed without a session")
        self.board.apply(self.outputs)

    def _list_answers(self, dt_ms):
        access = self.access
        if not access.looks_up:
            self.look_up_ms = -1
            return
        if self.look_up_ms < 0:
            self.look_up_ms = pick(0, 0, 0, 100, 700)
        self.look_up_ms -= dt_ms
        if self.look_up_ms > 0:
            return
        uid = access.number(access.looks_up)
        listed, parent = self.list.get(uid, (UNKNOWN, ""))
        if access.looks_up == 1:
            self.witness.found(listed, parent)
        else:
            self.witness.found_owner(listed)
        self.look_up_ms = -1
        access.found(listed, parent)

    def _cloud_is_asked(self):
        access = self.access
        self.asked_number = access.ask_number
        self.asked_uid = access.number(access.asks)
        self.witness.asked()
        self.answer_ms = pick(0, 40, 500, 2000, 6000) if not chance(5) else -1
        self.answer = self.accepted.get(self.asked_uid, False)
        count("questions")

    def _cloud_answers(self, dt_ms):
        if self.answer_ms < 0:
            return
        self.answer_ms -= dt_ms
        if self.answer_ms > 0:
            return
        self.answer_ms = -1
        if chance(10):
            # Nobody asked that.
            self.access.answered(True, (self.asked_number + pick(1, 0xFFFF)) & 0xFFFF)
            return
        open_still = self.access.asks and self.access.ask_number == self.asked_number
        if open_still:
            self.witness.answered(self.answer, self.asked_uid)
        else:
            count("late answers")
        self.access.answered(self.answer, self.asked_number)

    # What people and networks do

    def tap(self, uid):
        count("taps")
        self.look_up_ms = -1
        self.witness.tapped(uid)
        self.access.tap(uid, len(uid))

    def start(self):
        self.witness.started()
        self.access.start()

    def stop(self):
        if self.witness.session:
            self.witness.session["asked to stop"] = True
        self.controller.request_stop()

    def unlock(self):
        if self.witness.session:
            self.witness.session["unlocked"] = True
        self.controller.request_unlock()

    def go_online(self, online):
        witness = self.witness
        if witness.online != online:
            witness.online = online
            witness.online_ms = world.ms

    def go_offline(self, for_s):
        self.witness.offline_until_ms = world.ms + for_s * 1000
        self.access.go_offline(for_s)

    def lease(self, limit_ma, for_s):
        self.witness.lease_ma = limit_ma
        self.witness.lease_until_ms = world.ms + for_s * 1000
        self.access.lease(limit_ma, for_s)


rig = AccessRig(board_name, 32000 if board_name == "esp32_devkit" else 0)
# the clock is told once a second, and a change may wait for the random delay
truth = Truth(rig, rig.witness.offers, 1300)


def change_settings():
    s = rig.policies
    s.offline_who = pick(OPEN, ANY_KEY, KNOWN_KEY, KNOWN_KEY)
    s.online_who = pick(OPEN, ANY_KEY, KNOWN_KEY, CLOUD, CLOUD)
    s.offline_scheduled = chance(2)
    s.online_scheduled = chance(2)
    s.waits_for_clock = chance(2)
    s.ask_timeout_ms = pick(1000, 3000, 5000)
    s.tap_hold_ms = pick(3000, 10000, 30000)
    s.tap_releases = chance(2)
    s.recheck_stops = chance(2)
    may_run = s.delay_most_ms  # a delay that is set no more
    s.delay_most_ms = pick(0, 0, 0, 3000)
    truth.late_ms = 1300 + s.delay_most_ms + may_run
    rig.configure()


def change_keys():
    rig.list = {}
    for uid, entry in (
        (KARI, (KNOWN, "kari")),
        (SPARE, (KNOWN, "kari")),
        (OLA, (KNOWN, "")),
        (LAPSED, (EXPIRED, "")),
    ):
        if not chance(6):
            rig.list[uid] = entry
    rig.accepted = {uid: chance(2) for uid in CARDS}


def change_clock():
    n = random.getrandbits(8) % 8
    if n == 0:
        rig.utc_s = None
    elif n < 5 or rig.utc_s is None:
        window = pick(*WINDOWS)
        # close to an edge, of any day around New Year
        minute = pick(*window) + 1440 * (random.getrandbits(4) - 8)
        rig.utc_s = DAY_S + minute * 60 - EAST_S + random.getrandbits(6) - 50
    else:
        rig.utc_s += pick(-3600, -60, -2, 2, 60, 3600)


def cut_and_resume():
    """The app finds in its journal that a session ran, and may say so to the access room."""
    session = rig.witness.session
    cut_power(rig)
    truth.start()
    if chance(4):
        change(car_connected=False)
        change(plugged=False)
        if chance(2):
            change(plugged=True, car_connected=True)
    if session and not chance(3):
        uid = session["card"] or b""
        if uid or session["how"] == "owner":
            count("resumed")
            rig.witness.resumed(uid, session["parent"])
            rig.access.resume(uid, session["parent"])


def happens(n):
    """Something about access, for `n` below 100."""
    if n < 45:
        rig.tap(pick(KARI, KARI, KARI, SPARE, OLA, LAPSED, STRANGER, TEN_BYTES))
    elif n < 50:
        rig.start()
    elif n < 53:
        rig.stop()
    elif n < 58:
        rig.unlock()
    elif n < 70:
        rig.go_online(not chance(3))
    elif n < 74:
        rig.go_offline(pick(0, 3, 20, 60))
    elif n < 80:
        rig.lease(pick(NO_LIMIT_MA, 16000, 10000, 5000, 0), pick(1, 5, 20, 60))
    elif n < 87:
        change_settings()
    elif n < 91:
        change_keys()
    else:
        change_clock()


def charge():
    """A car that charges, if it may; then it is left alone until that can be seen."""
    repair()
    change(plugged=True, car_connected=True, car_state="C", cable_a=32, asleep=False)
    rig.policies.offline_scheduled = rig.policies.online_scheduled = not chance(4)
    rig.configure()
    rig.utc_s = DAY_S + 60
    if rig.permit.reason == "WaitsForKey" or chance(3):
        rig.tap(pick(KARI, KARI, OLA))
    elif rig.controller.finished:
        rig.start()
    if chance(2):
        rig.go_online(True)
    return 200


def one_thing():
    """What may stop, pause or limit a charge; then nothing for longer than that may take."""
    n = random.getrandbits(16) % 10
    if n < 2:
        rig.lease(pick(0, 5000), 60)
    elif n < 6:
        rig.utc_s = DAY_S + 5 * 3600 - EAST_S  # five o'clock: between two windows
    elif n == 6:
        rig.go_online(not rig.witness.online)
    elif n == 7:
        rig.go_offline(pick(0, 60))
    else:
        rig.tap(pick(KARI, SPARE, OLA, STRANGER, TEN_BYTES))
    return 400


watching = 0


def disturb():
    global watching
    if watching or chance(20):
        watching = (watching + 1) % 3
        count("watched")
        return (None, charge, one_thing)[watching]() if watching else 0
    n = random.getrandbits(16) % 100
    if chance(2):
        happens(n)
    elif n < 50:
        sweep_truth.car_moves(n)
    elif n < 66:
        change(plugged=True, car_connected=True, car_state="C", cable_a=32)
    elif n < 87:
        sweep_truth.weather_changes(n, rig)
    elif n < 93:
        repair()
    else:
        cut_and_resume()
    if rig.witness.session and world.meter_silent:
        rig.witness.session["measured"] = False


def repair():
    sweep_truth.good_weather()
    rig.config.available = True


def charges_at_last():
    """Whether it charges; until then the driver does what the display says."""
    if rig.permit.reason == "WaitsForKey" and not rig.controller.finished and chance(100):
        rig.tap(KARI)
    return world.contactor_closed


def starts_at_last():
    """Whether it charges, or needs fresh air; until then the owner presses start now and then."""
    if not rig.controller.session.active and chance(300):
        rig.start()
    return world.contactor_closed or rig.controller.reason == "NeedsVentilation"


def recovers():
    """From wherever the charger is: what a person does at a charger that is whole leads on."""
    repair()
    rig.list[KARI] = (KNOWN, "kari")
    rig.accepted[KARI] = True
    rig.policies.recheck_stops = False
    rig.configure()
    change(cable_a=32, car_state="C", ignores_duty=False)
    rig.lease(NO_LIMIT_MA, 1)
    way = pick("start", "start", "tap", "tap", "tap", "replug")
    what = "start does not lead to a charge"
    if way == "start" and world.plugged and world.car_connected:
        rig.start()
        if not truth.until(starts_at_last, 90000, what):
            return
    if not world.contactor_closed:
        if rig.witness.session:
            rig.witness.session["unlocked"] = True
        change(car_connected=False)
        if not truth.unplugged():
            return
        if way == "start":
            rig.start()
        elif way == "tap":
            rig.tap(KARI)
        change(plugged=True, car_connected=True, cable_a=32, car_state="C", asleep=False)
        what = way + " does not lead to a charge"
    rig.utc_s = DAY_S + 60  # an open window: a tap does not pass the schedule
    if not truth.until(charges_at_last, 90000, what):
        return
    for _ in range(50):
        truth.step(20)
    session = rig.witness.session
    way = pick("tap", "tap", "unlock", "unplug")
    own = session is not None and session["sure"] and session["card"] == KARI
    if way == "tap" and own and rig.policies.tap_releases:
        count("released by tap")
        rig.tap(KARI)
        if not truth.until(truth.released, 15000, "the tap releases nothing"):
            return
    elif way == "unplug":
        change(car_connected=False)
        if not truth.until(truth.released, 15000, "unplugging releases nothing"):
            return
    if rig.witness.session:
        rig.witness.session["unlocked"] = True
    if truth.unplugged():
        count("recovered")


change_keys()
sweep_truth.sweep(truth, steps, disturb, recovers, 30, 2000)
sweep_truth.reached(
    truth, "closed", "unlocking", "power cuts", "recovered", "taps", "sessions: key"
)
if steps >= 50000:
    sweep_truth.reached(
        truth,
        "duty changes",
        "held",
        "own taps",
        "others' taps",
        "questions",
        "resumed",
        "sessions: owner",
        "sessions: open",
        "ended: Local",
        "ended: EVDisconnected",
        "ended: UnlockCommand",
    )
if steps >= 200000:
    sweep_truth.reached(truth, "late answers", "released by tap", "ended: DeAuthorized")
