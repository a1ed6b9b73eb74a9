"""Who may charge, seen from outside: judges every session that begins, draws current, and ends.

It knows what was set, who tapped what, what the list and the cloud said and when, and what the
clock showed; not what the access room made of it. Times in ms of the world, which must not wrap.
Where two things happen within a tick of each other either order is right.
"""

import world
from sweep_truth import count, must

from firmware.access.decision import ANY_KEY, CLOUD, KNOWN, KNOWN_KEY, OPEN
from firmware.charging import events, pilot

_SLACK_MS = 200  # two of the longest ticks
_STOPS_MS = 8000  # the car gets 6 s, the contactor its time
NO_LIMIT_MA = 80000


class Policies:
    """What is set; the sweep changes it and hands it to the access room."""

    def __init__(self):
        self.offline_who = self.online_who = OPEN
        self.offline_scheduled = self.online_scheduled = False
        self.waits_for_clock = False
        self.ask_timeout_ms = 5000
        self.tap_hold_ms = 60000
        self.tap_releases = True
        self.recheck_stops = False
        self.delay_most_ms = 0


class Witness:
    """Tell it everything when it happens; `looks` once a tick, before the firmware and after."""

    def __init__(self, policies, is_open):
        self.set = policies
        self.is_open = is_open  # True, False, or None while the clock is unknown
        self.online = False
        self.offline_until_ms = -_SLACK_MS
        self.lease_ma = NO_LIMIT_MA
        self.lease_until_ms = -_SLACK_MS
        self.online_ms = 0  # when `online` changed last
        self.changed_ms = -_SLACK_MS  # when a setting changed last
        self.session = None
        self.justified_ms = -_SLACK_MS
        self.justified = None
        self.ends = 0
        self.power_on()

    def power_on(self):
        """Nothing is remembered of what was said."""
        self.nobody()
        self.session = None
        self.was_here = False
        self.was_finished = False
        self.lease_until_ms = self.offline_until_ms = world.ms
        self.online = False
        self.online_ms = world.ms
        self.justified_ms = world.ms - 10 * _SLACK_MS

    def nobody(self):
        """What was said counts no more."""
        self.card = None
        self.listed = None
        self.parent = ""
        self.card_ms = 0
        self.held_ms = 0  # since when the card's hold runs
        self.asked_ms = -1
        self.ask_timeout_ms = 0
        self.hold_ms = 0
        self.word = None
        self.owner_ms = -1

    # What happens

    def tapped(self, uid):
        session = self.session
        if self.asked_ms >= 0 and self.word is None and uid == self.card:
            if world.ms <= self.asked_ms + self.ask_timeout_ms:
                return  # asked already
        owner = self.owner_ms, self.held_ms, self.hold_ms
        if session is None:
            self.nobody()
            if owner[0] >= 0:
                self.owner_ms, self.held_ms, self.hold_ms = owner
        self.card = uid

    def found(self, listed, parent):
        """The list's word on the card that was tapped last."""
        session = self.session
        if session is None:
            self.listed = listed
            self.parent = parent
            self._holds()
        elif session["card"] is not None:
            if self.card == session["card"] or (parent and parent == session["parent"]):
                session["own tap"] = world.ms if session["sure"] else -1
                count("own taps")
            else:
                count("others' taps")

    def found_owner(self, listed):
        if listed != KNOWN and self.session:
            self.session["unlisted"] = True

    def asked(self):
        if self.session is None:
            self.asked_ms = world.ms
            self.ask_timeout_ms = self.set.ask_timeout_ms
            self.word = None

    def answered(self, accepted, uid):
        """The cloud's answer, in time and for the question that is open."""
        if self.session is not None:
            if not accepted and uid == self.session["card"]:
                self.session["unlisted"] = True
        elif uid == self.card and world.ms <= self.asked_ms + self.ask_timeout_ms + _SLACK_MS:
            self.word = accepted
            self._holds()

    def started(self):
        if self.session is None:
            self.owner_ms = world.ms
            self.hold_ms = self.set.tap_hold_ms
            self.held_ms = world.ms
        else:
            self.session["hurries"] = True

    def resumed(self, uid, parent):
        """The app says so after a power cut, as its journal has it."""
        self.nobody()
        self.hold_ms = self.set.tap_hold_ms
        self.held_ms = world.ms
        if uid:
            self.card = uid
            self.listed = KNOWN
            self.parent = parent
            self.word = True
        else:
            self.owner_ms = world.ms

    # What follows

    def in_force(self):
        """The policies, (who, scheduled), that may be in force: two within a tick of a change."""
        s = self.set
        offline = (s.offline_who, s.offline_scheduled)
        online = (s.online_who, s.online_scheduled)
        left_ms = self.offline_until_ms - world.ms
        if left_ms > _SLACK_MS or (not self.online and world.ms - self.online_ms > _SLACK_MS):
            return (offline,)
        if abs(left_ms) <= _SLACK_MS or world.ms - self.online_ms <= _SLACK_MS:
            return (offline, online)
        if s.online_who == CLOUD and self.asked_ms >= 0 and self.word is None:
            waited_ms = world.ms - self.asked_ms - self.ask_timeout_ms
            if abs(waited_ms) <= _SLACK_MS:
                return (offline, online)
            if waited_ms > 0:
                return (offline,)
        return (online,)

    def why(self):
        """(how, who, scheduled) that permits a session now, or None."""
        held = self._held()
        for who, scheduled in self.in_force():
            if self.owner_ms >= 0 and held:
                return "owner", who, scheduled
            if who == OPEN:
                how = "key" if self.listed is not None and held else "open"
                return how, who, scheduled
            if self.listed is None or not held:
                continue
            if (
                who == ANY_KEY
                or (who == KNOWN_KEY and self.listed == KNOWN)
                or (who == CLOUD and self.word is True)
            ):
                return "key", who, scheduled
        return None

    def _holds(self):
        """A card is held from now on; but no card prolongs the owner's word."""
        self.card_ms = world.ms
        if self.owner_ms < 0:
            self.held_ms = world.ms
            self.hold_ms = self.set.tap_hold_ms

    def _held(self):
        """Whether what was said still counts; a question to the cloud stops a card's clock."""
        frozen_ms = self.ask_timeout_ms if self.asked_ms >= 0 and self.owner_ms < 0 else 0
        return world.ms - self.held_ms <= self.hold_ms + frozen_ms + _SLACK_MS

    def looks(self, controller):
        """Before the firmware decides: what may it do?"""
        if self.owner_ms >= 0 and not self._held():
            self.owner_ms = -1
            if self.listed is not None:
                self.held_ms = self.card_ms  # the word may have ended before the card came
        if not self.online or self.offline_until_ms > world.ms:
            self.lease_until_ms = min(self.lease_until_ms, world.ms)  # it does not come back
        why = self.why()
        if why:
            self.justified = why
            self.justified_ms = world.ms
        session = self.session
        must(session is None or controller.session.active, "the end of a session was not told")
        if session and not (world.car_connected and world.plugged):
            session["away"] = True
        if session:
            if self.set.recheck_stops:
                session["rechecks"] = True  # it may be ended when the charger comes online
            due_ms = session.get("own tap", -1)
            if due_ms >= 0:
                must(world.ms - due_ms <= _STOPS_MS, "its own key does not stop a session")

    def settles(self, controller):
        """After the firmware has acted: whoever left, or was stopped, has said nothing any more."""
        letter = controller.pilot.letter
        here = controller.connected or letter == pilot.UNKNOWN
        if self.was_here and not here:
            self.nobody()
        self.was_here = here
        if controller.finished and not self.was_finished:
            self.nobody()
        self.was_finished = controller.finished

    def offers(self):
        """Whether the charger may offer current now."""
        session = self.session
        if session is None:
            return False
        if world.ms - session["began"] <= 1300:
            return True  # by the clock of a second ago, which is when it was told last
        policies = self.in_force()
        scheduled = True
        limit_ma = NO_LIMIT_MA
        for _, asks in policies:
            scheduled = scheduled and asks
        if len(policies) == 1 and self.online and self.offline_until_ms <= world.ms:
            if self.lease_until_ms > world.ms:
                limit_ma = self.lease_ma
        if limit_ma < 6000:
            return False
        if not scheduled or not session["scheduled"] or session.get("hurries"):
            return True
        is_open = self.is_open()
        return not self.set.waits_for_clock if is_open is None else is_open

    def tell(self, event, controller):
        """An event of the charging room."""
        kind, code = event[0], event[1]
        if kind == events.SESSION_STARTED:
            self._begin(controller)
        elif kind == events.SESSION_ENDED:
            self._end(code, controller)

    def _begin(self, controller):
        must(self.session is None, "a session began in a session")
        why = self.why() or (self.justified if world.ms - self.justified_ms <= _SLACK_MS else None)
        if not why:
            must(False, "a session without a permit")
            return
        how, who, scheduled = why
        count("sessions: " + how)
        is_key = how == "key"
        unsure = how == "owner" and world.ms - self.held_ms > self.hold_ms - _SLACK_MS
        self.session = {
            "how": how,
            "card": self.card if is_key else None,
            # Under "open" a card counts only if it was shown under another policy.
            "sure": is_key and who != OPEN,
            "unsure": unsure,
            "parent": self.parent if is_key else "",
            "scheduled": scheduled,
            "hurries": how == "owner",
            "began": world.ms,
            "mwh": world.energy_wh * 1000 + world.energy_rest_mwh,
            "measured": not world.meter_silent,
            "asked to stop": False,
        }
        self.nobody()

    def _end(self, code, controller):
        session = self.session
        if session is None:
            must(False, "a session ended that had not begun")
            return
        self.session = None
        self.nobody()
        self.ends += 1
        count("ended: " + code)
        if code == "EVDisconnected":
            must(session.get("away"), "ended as unplugged, and was not")
        elif code == "Local":
            asked = session["asked to stop"] or "own tap" in session
            no_wonder = session["unsure"] or session["how"] == "key" and not session["sure"]
            must(asked or no_wonder, "another key stops a session")
        elif code == "UnlockCommand":
            must(session.get("unlocked"), "ended as unlocked, and was not")
        elif code == "DeAuthorized":
            must(session.get("rechecks"), "a session ended by going online, against the settings")
            is_owner = session["how"] == "owner" and not session["unsure"]
            must(not is_owner, "the owner's session ended by going online")
            keyless = not session["sure"]
            must(keyless or session.get("unlisted"), "ended by going online, and not refused")
        else:
            must(False, "ended without a reason: " + code)
        if session["measured"] and world.has_meter:
            true_mwh = world.energy_wh * 1000 + world.energy_rest_mwh - session["mwh"]
            counted_mwh = controller.session.energy_wh * 1000
            must(
                abs(true_mwh - counted_mwh) <= 2000,
                "%d mWh counted as %d" % (true_mwh, counted_mwh),
            )
            count("measured")
