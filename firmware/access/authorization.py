"""Taps, answers and leases over time: the access room's own state around the pure decision.

Promises: `step` allocates nothing in steady state and takes an input into account in the tick in
which it arrives; no key but the one that began a session, or one of the same owner (parent id),
ends it; what a session began with lasts until it ends, whatever happens to list, cloud or clock.

Reads no list and asks no cloud: it says what it wants to know (`looks_up`, `asks`) and is told
(`found`, `answered`). What it wants of the charging room stands in `stop_asked`, `start_asked` and
`unlock_asked`, which the caller takes back.
"""

from micropython import const

from firmware.access.decision import (
    ACCEPTED,
    ASKED,
    CHECKING,
    CLOCK_UNKNOWN,
    CLOUD,
    DELIBERATE,
    FINISHED,
    INSIDE,
    KNOWN,
    KNOWN_KEY,
    NO_CAR,
    NO_KEY,
    NOT_ASKED,
    OFFLINE,
    ONLINE,
    OPEN,
    OUTSIDE,
    REFUSED,
    RUNNING,
    SILENT,
    Case,
    decide,
    policy_of,
)

NO_LIMIT_MA = const(80000)  # the most that IEC 61851-1 can signal
LONGEST_LEASE_S = const(86400)
LONGEST_OFFLINE_S = const(604800)

_SHOWN_MS = const(8000)  # how long a refusal or a notice is shown

# looks_up, asks: whose number this is about
NOBODY = const(0)
PRESENTED = const(1)
OWNER = const(2)  # who began the running session, once more


class Authorization(Case):
    """The case of this moment, and what changes it.

    `draw` takes the longest delay in ms and returns a random one. `uid` and `length` hold the key
    that was presented last, `owner_uid` and `owner_length` that of the running session (length 0:
    none). `limit_ma` is what outside control leaves. `notice` is a code for people, "" after 8 s.
    """

    def __init__(self, draw):
        super().__init__()
        self.ask_timeout_ms = 5000
        self.tap_hold_ms = 60000
        self.tap_releases = True  # the tap that ends a session releases the cable as well
        self.recheck_stops = False  # back online: a session that would be refused is ended
        self.delay_most_ms = 0
        self.online = False  # the cloud answers
        self.schedule = None
        self.uid = bytearray(10)
        self.length = 0
        self.owner_uid = bytearray(10)
        self.owner_length = 0
        self.owner_parent = ""
        self.limit_ma = NO_LIMIT_MA
        self.notice = ""
        self.looks_up = NOBODY
        self.asks = NOBODY
        self.ask_number = 0  # counts the questions: an answer to an earlier one is none
        self.stop_asked = ""  # why, as an OCPP 1.6 Reason
        self.start_asked = False
        self.unlock_asked = False
        self.learning_ms = 0
        self.learned = None  # the number that was tapped while learning
        self.offline_ms = 0  # left of a deliberate offline
        self.delay_ms = -1  # left of a random delay; -1: none runs
        self._draw = draw
        self._parent = ""
        self._hold_ms = 0
        self._ask_ms = 0
        self._notice_ms = 0
        self._lease_ma = NO_LIMIT_MA
        self._lease_ms = 0
        self._recheck_due = False
        self._open = False  # what schedule and delay let through

    # What happens to it

    def tap(self, uid, length):
        """A card was presented: `length` bytes of the buffer `uid`."""
        if self.learning_ms:
            self.learning_ms = 0
            self.learned = bytes(uid[:length])
            return
        if self.answer == ASKED and length == self.length:
            same = True
            for i in range(length):
                same = same and self.uid[i] == uid[i]
            if same:
                return  # impatience does not start the question anew
        if self.looks_up == OWNER:
            self._recheck_due = True  # after this tap
        self._forget_key()
        for i in range(length):
            self.uid[i] = uid[i]
        self.length = length
        self.listed = CHECKING
        self.looks_up = PRESENTED

    def number(self, subject):
        """The card number that `looks_up` or `asks` is about, as bytes."""
        if subject == OWNER:
            return bytes(self.owner_uid[: self.owner_length])
        return bytes(self.uid[: self.length])

    def found(self, listed, parent=""):
        """What the list says of the number that was looked up: UNKNOWN, KNOWN or EXPIRED."""
        subject = self.looks_up
        self.looks_up = NOBODY
        if subject == OWNER:
            if listed != KNOWN and self.session == RUNNING:
                self.stop_asked = "DeAuthorized"
        elif subject == PRESENTED and self.listed == CHECKING:
            self._parent = parent
            if self.session == RUNNING:
                self._tap_in_session()
            elif policy_of(self) >> 1 == OPEN:
                self._forget_key()
                self._tell("KeyNotNeeded")
            else:
                self.listed = listed
                self._hold()

    def answered(self, accepted, ask_number):
        """The cloud's answer to the question `ask_number`; False when nobody waits for it."""
        subject = self.asks
        if subject == NOBODY or ask_number != self.ask_number:
            return False
        self.asks = NOBODY
        if subject == PRESENTED:
            self.answer = ACCEPTED if accepted else REFUSED
            self._hold()
        elif not accepted and self.session == RUNNING and self.mode == ONLINE:
            self.stop_asked = "DeAuthorized"
        return True

    def start(self):
        """The owner's word (page, console, cloud): charge now, without key, schedule and delay."""
        self.owner_hurries = True
        self.start_asked = True  # in a session it means: try again after a fault
        if self.session != RUNNING:
            self.owner_started = True
            self._hold_ms = self.tap_hold_ms

    def resume(self, uid, parent):
        """Before the first step: the power was cut in a session of the key `uid` (b"": owner's).

        It may go on if the car is still there once the pilot has settled.
        """
        self._hold_ms = self.tap_hold_ms
        self.owner_started = not uid
        self.length = len(uid)
        self.uid[: self.length] = uid
        self._parent = parent
        if uid:
            self.listed = KNOWN
            self.answer = ACCEPTED

    def lease(self, limit_ma, for_s):
        """Outside control: at most `limit_ma` (0: pause) for `for_s`, and only while online.

        ValueError for a time or a current that cannot be.
        """
        if not 0 < for_s <= LONGEST_LEASE_S or not 0 <= limit_ma <= NO_LIMIT_MA:
            raise ValueError("a lease has 0 to 80 A for 1 to 86400 s")
        self._lease_ma = limit_ma
        self._lease_ms = for_s * 1000

    def go_offline(self, for_s):
        """The offline policy rules for `for_s` although the cloud may answer; 0 ends that."""
        if not 0 <= for_s <= LONGEST_OFFLINE_S:
            raise ValueError("offline on purpose lasts 0 to 604800 s")
        self.offline_ms = for_s * 1000

    def learn(self, for_s):
        """The next tap within `for_s` is not for charging: its number is left in `learned`."""
        self.learned = None
        self.learning_ms = for_s * 1000

    def tell_time(self, utc_s):
        """Once a second: the wall clock in seconds since 2000, None while it is unknown.

        Without memory to look whether a window opens or closes, that is a second later.
        """
        schedule = self.schedule
        self.window_s = -1
        if schedule is None:
            self.window = INSIDE
        elif utc_s is None:
            self.window = CLOCK_UNKNOWN
        else:
            try:
                self.window = INSIDE if schedule.is_open(utc_s) else OUTSIDE
            except MemoryError:
                return
            change_s = schedule.next_change_s(utc_s)
            if change_s is not None:
                self.window_s = change_s - utc_s

    # One tick

    def step(self, session, dt_ms, permit):
        """Take `session` (of firmware.access.decision) and the time, and fill in `permit`."""
        if session != self.session:
            self.follow(session)
        self._count_down(dt_ms)
        was = self.mode
        if self.offline_ms:
            self.mode = DELIBERATE
        else:
            self.mode = ONLINE if self.online else OFFLINE
        if self.mode != was:
            back = self.mode == ONLINE and session == RUNNING
            self._recheck_due = back and self.recheck_stops
        if session == RUNNING:
            if self._recheck_due and not self.looks_up:
                self._recheck_due = False
                self._recheck()
        elif self.listed > CHECKING and self.answer == NOT_ASKED and policy_of(self) >> 1 == CLOUD:
            self.answer = ASKED  # tapped just now, or while the charger was offline
            self._ask(PRESENTED)

        decide(self, permit)
        if permit.refused and self._hold_ms > _SHOWN_MS:
            self._hold_ms = _SHOWN_MS
        if permit.authorized and (self.listed > CHECKING or self.owner_started):
            if session == FINISHED:
                self.start_asked = True
            elif session == NO_CAR:
                permit.reason = "PlugIn"
                permit.change_s = self._hold_ms // 1000
        self._delay(permit, dt_ms)

    def follow(self, session):
        """The charging room has moved on to `session`."""
        self.session = session
        if session == RUNNING:
            policy = policy_of(self)
            self.began_scheduled = policy & 1 == 1
            if self.listed > CHECKING and not self.owner_started:
                self.owner_length = self.length
                self.owner_uid[:] = self.uid
                self.owner_parent = self._parent
            self._forget_key()
        elif session == NO_CAR or session == FINISHED:
            # Nobody charges on the word that was given for another car, or before the stop.
            self.owner_length = 0
            self.owner_parent = ""
            self.owner_started = self.owner_hurries = False
            self.asks = self.looks_up = NOBODY
            self._recheck_due = False
            self._forget_key()

    def _count_down(self, dt_ms):
        if self.offline_ms:
            self.offline_ms = max(0, self.offline_ms - dt_ms)
        if self._lease_ms:
            self._lease_ms = max(0, self._lease_ms - dt_ms)
        if self.learning_ms:
            self.learning_ms = max(0, self.learning_ms - dt_ms)
        if self._notice_ms:
            self._notice_ms = max(0, self._notice_ms - dt_ms)
            if not self._notice_ms:
                self.notice = ""
        # While a card's question is open its hold waits; the owner's word waits for no card.
        holds = self._hold_ms > 0 and self.session != RUNNING
        if self.asks:
            holds = holds and self.owner_started
            self._ask_ms -= dt_ms
            if self._ask_ms <= 0:
                self.asks = NOBODY
                if self.answer == ASKED:
                    self.answer = SILENT
        if holds:
            self._hold_ms = max(0, self._hold_ms - dt_ms)
            if not self._hold_ms:
                self.owner_started = self.owner_hurries = False
                self._forget_key()

    def _tap_in_session(self):
        same = self.owner_length > 0 and self.length == self.owner_length
        if same:
            same = self.uid == self.owner_uid
        if same or (self.owner_parent and self._parent == self.owner_parent):
            self.stop_asked = "Local"
            self.unlock_asked = self.tap_releases
            self._tell("StoppedByKey")
        else:
            self._tell("NotYourKey" if self.owner_length else "KeyNotNeeded")
        self._forget_key()

    def _recheck(self):
        if self.owner_started or self.online_who == OPEN:
            return
        if not self.owner_length:
            self.stop_asked = "DeAuthorized"
        elif self.online_who == CLOUD:
            self._ask(OWNER)
        elif self.online_who == KNOWN_KEY:
            self.looks_up = OWNER

    def _ask(self, subject):
        self.asks = subject
        self._ask_ms = self.ask_timeout_ms
        self.ask_number = (self.ask_number + 1) & 0xFFFF

    def _forget_key(self):
        self.listed = NO_KEY
        self.answer = NOT_ASKED
        self.length = 0
        self._parent = ""
        for i in range(10):
            self.uid[i] = 0
        if not self.owner_started:
            self._hold_ms = 0
        if self.asks == PRESENTED:
            self.asks = NOBODY
        if self.looks_up == PRESENTED:
            self.looks_up = NOBODY

    def _hold(self):
        if not self.owner_started:  # no card prolongs the owner's word
            self._hold_ms = self.tap_hold_ms

    def _tell(self, code):
        self.notice = code
        self._notice_ms = _SHOWN_MS

    def _delay(self, permit, dt_ms):
        """Let a change of what may be drawn through, after a random delay if one is set."""
        lease_ma = NO_LIMIT_MA
        if self.mode != ONLINE:
            self._lease_ms = 0  # what was asked before the connection broke is over for good
        if self._lease_ms:
            lease_ma = self._lease_ma
        if not self.delay_most_ms or self.owner_hurries:
            self._open = permit.allowed
            self.limit_ma = lease_ma
            self.delay_ms = -1
            return
        if self.session != RUNNING:
            permit.allowed = False  # the session's first current waits for its delay
            self._open = False
            self.limit_ma = lease_ma
            self.delay_ms = -1
            return
        if self._open == permit.allowed and self.limit_ma == lease_ma:
            self.delay_ms = -1
            return
        if self.delay_ms < 0:
            self.delay_ms = self._draw(self.delay_most_ms)
        self.delay_ms = max(0, self.delay_ms - dt_ms)
        if not self.delay_ms:
            self.delay_ms = -1
            self._open = permit.allowed
            self.limit_ma = lease_ma
        elif permit.allowed and not self._open:
            permit.reason = "RandomDelay"
            permit.change_s = self.delay_ms // 1000
        permit.allowed = self._open
