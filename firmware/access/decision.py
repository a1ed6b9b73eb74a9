"""Who may charge, and when: one pure function from a case to a permit.

"Who" is the policy: anybody (open), any card that can be read, a card on the list, or whom the
cloud accepts. "When" is the weekly schedule, which a policy can have on top. Both questions have an
answer without cloud, internet and clock.
"""

from micropython import const

# Who: the policies, in the order of their names
OPEN = const(0)
ANY_KEY = const(1)
KNOWN_KEY = const(2)
CLOUD = const(3)  # online only: ask the cloud; without an answer the offline policy decides
NAMES = ("open", "any_key", "known_key", "cloud")

# Case.mode
OFFLINE = const(0)  # the cloud does not answer
ONLINE = const(1)
DELIBERATE = const(2)  # offline on purpose: the cloud is not asked although it might answer

# Case.listed: what the list says of the key that was presented
NO_KEY = const(0)
CHECKING = const(1)  # the list is being read
UNKNOWN = const(2)
KNOWN = const(3)
EXPIRED = const(4)

# Case.answer: what the cloud says of it
NOT_ASKED = const(0)
ASKED = const(1)
ACCEPTED = const(2)
REFUSED = const(3)
SILENT = const(4)  # no answer within the time set

# Case.session
STARTING = const(0)  # the pilot has not settled yet: there may be a car, or none
NO_CAR = const(1)
PLUGGED = const(2)  # a car, and no session yet
RUNNING = const(3)
FINISHED = const(4)  # stopped, and the car is still there

# Case.window
OUTSIDE = const(0)
INSIDE = const(1)
CLOCK_UNKNOWN = const(2)


class Case:
    """Everything that a decision rests on, as small integers; the defaults are the shipped ones."""

    def __init__(self):
        self.offline_who = OPEN
        self.online_who = OPEN
        self.offline_scheduled = False  # the policy asks for the schedule as well
        self.online_scheduled = False
        self.waits_for_clock = False  # a schedule without a clock: wait, rather than charge
        self.mode = OFFLINE
        self.listed = NO_KEY
        self.answer = NOT_ASKED
        self.session = STARTING
        self.window = CLOCK_UNKNOWN
        self.window_s = -1  # seconds until the window opens or closes
        self.owner_started = False  # from the page, the console or the cloud, without a key
        self.owner_hurries = False  # the owner skips schedule and delay for this session
        self.began_scheduled = False  # the running session began under a schedule


def policy_of(case):
    """(who, scheduled) of the policy in force, as one number: who * 2 + scheduled."""
    if case.mode == ONLINE and not (case.online_who == CLOUD and case.answer == SILENT):
        return case.online_who * 2 + case.online_scheduled
    return case.offline_who * 2 + case.offline_scheduled


def decide(case, permit):
    """Fill in `permit`; allocates nothing.

    `authorized`: a session may begin, or go on. `allowed`: it may draw current now, which implies
    the first. `refused`: no, and waiting will not help; neither of them: it waits. `reason` is a
    code of firmware.reasons, `change_s` in how many seconds the answer may become another by
    itself, -1 if nobody can say.

    A running session is never asked again who it is, and a change between online and offline puts
    no schedule on it under which it did not begin: losing the cloud stops nobody.
    """
    policy = policy_of(case)
    who = policy >> 1
    scheduled = policy & 1
    listed = case.listed
    permit.change_s = -1
    permit.refused = False
    permit.authorized = True
    if case.session == RUNNING:
        permit.reason = "Permitted"
        scheduled = scheduled and case.began_scheduled
    elif case.owner_started:
        permit.reason = "PermitOwner"
    elif who == OPEN:
        permit.reason = "PermitOpen"
    elif listed == NO_KEY:
        permit.authorized = False
        permit.reason = "WaitsForKey"
    elif listed == CHECKING:
        permit.authorized = False
        permit.reason = "ChecksKey"
    elif who == ANY_KEY:
        permit.reason = "PermitAnyKey"
    elif who == KNOWN_KEY:
        if listed == KNOWN:
            permit.reason = "PermitKey"
        else:
            permit.authorized = False
            permit.refused = True
            permit.reason = "KeyExpired" if listed == EXPIRED else "KeyUnknown"
    elif case.answer == ACCEPTED:
        permit.reason = "PermitCloud"
    elif case.answer == REFUSED:
        permit.authorized = False
        permit.refused = True
        permit.reason = "KeyRefused"
    else:
        permit.authorized = False
        permit.reason = "AsksCloud"

    permit.allowed = permit.authorized
    if permit.authorized and case.session != RUNNING:
        permit.by = permit.reason
    if not permit.authorized or not scheduled or case.owner_hurries:
        return
    if case.window == CLOCK_UNKNOWN:
        if case.waits_for_clock:
            permit.allowed = False
            permit.reason = "WaitsForClock"
        else:
            permit.reason = "NoClock"
    else:
        permit.change_s = case.window_s
        if case.window == OUTSIDE:
            permit.allowed = False
            permit.reason = "WaitsForSchedule"
