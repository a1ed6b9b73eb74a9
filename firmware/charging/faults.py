"""What can go wrong, what each fault does to charging, and when it may be tried again.

Each fault has a rule of its own and a counter for as long as the charger runs. While
its cause lasts it is active; after that it stays active for its retry time. One that came back
more often than its tries allow stays until the car is unplugged or a person presses start. Nothing
here opens a contactor: the controller asks `stops_now` and `stops_gently` in the same tick.
"""

from micropython import const

RCD = const(0)
RCD_TEST = const(1)
WELDED = const(2)
NOT_CLOSED = const(3)
LOCK_FAILED = const(4)
UNLOCK_FAILED = const(5)
DIODE = const(6)
PILOT_SHORT = const(7)
OVERTEMPERATURE = const(8)
OVERCURRENT = const(9)
METER_SILENT = const(10)
PROXIMITY = const(11)

_NOW = const(2)  # open the contactor in this tick
_GENTLY = const(1)  # withdraw the PWM, let the car stop, open after 6 s at the latest
_NOT = const(0)  # shown and recorded, charging goes on

_ALWAYS = const(255)

# In the order of the faults: the code, what it does, retry after (s), tries while the car stays
# plugged in. Bytes, because a row of its own for each would take twice the memory.
_CODES = (
    "Rcd",
    "RcdTest",
    "Welded",
    "NotClosed",
    "LockFailed",
    "UnlockFailed",
    "Diode",
    "PilotShort",
    "Overtemperature",
    "Overcurrent",
    "MeterSilent",
    "Proximity",
)
_DOES = b"\x02\x02\x02\x02\x02\x00\x02\x02\x01\x02\x00\x02"  # _NOW, _GENTLY, _NOT
_RETRY_S = b"\x00\x3c\x0a\x0a\x1e\x00\x0a\x02\x00\x3c\x00\x01"
_TRIES = b"\x00\x03\xff\x03\x03\xff\x03\xff\xff\x03\xff\xff"  # 0: replug; 255: always
COUNT = const(12)


def code_of(fault):
    """The stable code of a fault, as the page and the cloud see it."""
    return _CODES[fault]


class Faults:
    """All faults of this charger, active or not."""

    def __init__(self):
        self._active = bytearray(COUNT)
        self._tries = bytearray(COUNT)  # since the car was plugged in
        self._wait_ms = [0] * COUNT
        self._count = [0] * COUNT
        self.stops_now = False
        self.stops_gently = False
        self.changed = False  # in this tick; the controller reports it and clears it

    def is_active(self, fault):
        return self._active[fault] != 0

    def count(self, fault):
        """How often the fault came since the charger started."""
        return self._count[fault]

    def first(self):
        """The fault to show first: the lowest that stops charging, else the lowest; -1 if none."""
        shown = -1
        for fault in range(COUNT):
            if self._active[fault]:
                if _DOES[fault] != _NOT:
                    return fault
                if shown < 0:
                    shown = fault
        return shown

    def blocks(self):
        """True while any active fault keeps the contactor open."""
        return self.stops_now or self.stops_gently

    def active_codes(self):
        """Codes of all active faults, for people (allocates)."""
        return [code_of(fault) for fault in range(COUNT) if self._active[fault]]

    def counters(self):
        """{code: how often} of every fault that ever came, for people (allocates)."""
        return {code_of(fault): n for fault, n in enumerate(self._count) if n}

    def report(self, fault, present, dt_ms):
        """Say once a tick whether the fault's cause is present. True when it became active."""
        if present:
            if not self._active[fault]:
                self._active[fault] = 1
                self._count[fault] += 1
                if self._tries[fault] < 255:
                    self._tries[fault] += 1
                self._wait_ms[fault] = _RETRY_S[fault] * 1000
                self._weigh()
                return True
            self._wait_ms[fault] = _RETRY_S[fault] * 1000
        elif self._active[fault]:
            if self._wait_ms[fault] > 0:
                self._wait_ms[fault] -= dt_ms
            tries = _TRIES[fault]
            if self._wait_ms[fault] <= 0 and (tries == _ALWAYS or self._tries[fault] <= tries):
                self._clear(fault)
        return False

    def unplugged(self):
        """Say once a tick that no car is connected: tries count anew."""
        for fault in range(COUNT):
            self._tries[fault] = 0

    def retry_now(self):
        """The car has just left, or a person asks: do not wait to try again."""
        self.unplugged()
        for fault in range(COUNT):
            if _TRIES[fault] != _ALWAYS:
                self._wait_ms[fault] = 0

    def _clear(self, fault):
        self._active[fault] = 0
        self._weigh()

    def _weigh(self):
        self.changed = True
        self.stops_now = self.stops_gently = False
        for fault in range(COUNT):
            if self._active[fault]:
                rule = _DOES[fault]
                if rule == _NOW:
                    self.stops_now = True
                elif rule == _GENTLY:
                    self.stops_gently = True
