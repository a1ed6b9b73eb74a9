"""A charger with an access room in the least world: a plant that is asked who may charge.

Stands in for the app: answers lookups from `list`, carries questions to a cloud that answers when
the test says so, tells the time once a second.
"""

from charging_plant import TICK_MS, Plant

from firmware import permission
from firmware.access.authorization import Authorization
from firmware.access.decision import EXPIRED, KNOWN, UNKNOWN
from firmware.charging import events

KARI = b"\x04\x11\x22\x33"
OLA = b"\x04\x55\x66\x77\x88\x99\xaa"
SPARE = b"\x04\x11\x22\x34"  # Kari's other card
STRANGER = b"\x04\x01\x02\x03\x04\x05\x06"
LAPSED = b"\x04\x0a\x0b\x0c"
TEN_BYTES = b"\x04\x11\x22\x33\x00\x00\x00\x00\x00\x00"  # Kari's, with zeros behind


class Station(Plant):
    """Settings of the access room by keyword; `boot` builds it anew, as after a power cut."""

    def __init__(self, random_ms=(), **settings):
        super().__init__()
        self.settings = settings
        self.random_ms = list(random_ms)  # what the random delay draws, in turn
        self.drawn_from = []
        self.list = {
            KARI: (KNOWN, "kari"),
            SPARE: (KNOWN, "kari"),
            OLA: (KNOWN, ""),
            LAPSED: (EXPIRED, ""),
        }
        self.slow_list = False  # True: lookups wait for `look_up`
        self.asked = []  # (number, ask_number) of each question to the cloud
        self.told = []  # notices, in turn
        self.utc_s = None
        self.said = []  # (kind, code) of sessions' beginnings and ends
        self._since_tell_ms = 1000
        self._fit()

    def _fit(self):
        self.access = Authorization(self._draw)
        self.access.tap_hold_ms = 15000  # shorter than shipped, to spare ticks
        for name, value in self.settings.items():
            assert hasattr(self.access, name), name
            setattr(self.access, name, value)

    def _draw(self, most_ms):
        self.drawn_from.append(most_ms)
        return self.random_ms.pop(0)

    def boot(self):
        """Power is back: nothing is remembered but what lies in flash, and the lock's position."""
        lock, car, cable_a, now_ms = self.readings.lock, self.car, self.cable_a, self.now_ms
        super().__init__()
        self.readings.lock, self.car, self.cable_a, self.now_ms = lock, car, cable_a, now_ms
        self._since_tell_ms = 1000
        self._fit()

    def look_up(self):
        """Answer what the access room wants to know of the list."""
        access = self.access
        if access.looks_up:
            listed, parent = self.list.get(access.number(access.looks_up), (UNKNOWN, ""))
            access.found(listed, parent)

    def tick(self):
        access = self.access
        self._since_tell_ms += TICK_MS
        if self._since_tell_ms >= 1000:
            self._since_tell_ms -= 1000
            if self.utc_s is not None:
                self.utc_s += 1
            access.tell_time(self.utc_s)
        if not self.slow_list:
            self.look_up()
        permission.ask(access, self.controller, TICK_MS, self.permit)
        asked = (access.number(access.asks), access.ask_number) if access.asks else None
        if asked and asked not in self.asked:
            self.asked.append(asked)
        if access.notice and (not self.told or self.told[-1] != access.notice):
            self.told.append(access.notice)
        super().tick()
        permission.settle(access, self.controller)
        while True:
            event = self.events.pop()
            if event is None:
                break
            if event[0] == events.SESSION_STARTED:
                self.said.append("started")
            elif event[0] == events.SESSION_ENDED:
                self.said.append(event[1])

    def tap(self, uid):
        self.access.tap(uid, len(uid))

    def answer(self, accepted, which=-1):
        """The cloud answers a question, the last one unless told."""
        return self.access.answered(accepted, self.asked[which][1])

    def tell(self, utc_s):
        """The clock is set, or corrected; None: it is lost."""
        self.utc_s = utc_s
        self._since_tell_ms = 0
        self.access.tell_time(utc_s)

    def plugged_in(self):
        """The car comes and wants energy; until the charger has seen it."""
        self.car = "C"
        self.ms_until(lambda: self.controller.connected, 3000)
        self.run(40)

    def charges(self, most_ms=8000):
        return self.ms_until(lambda: self.outputs.contactor, most_ms)

    def pauses(self, most_ms=8000):
        return self.ms_until(lambda: not self.outputs.contactor, most_ms)

    def never(self, condition, ms):
        for _ in range(ms // TICK_MS):
            assert not condition(), (self.permit.reason, self.controller.reason)
            self.tick()

    def never_charges(self, ms=6000):
        self.never(lambda: self.outputs.contactor, ms)

    def keeps_charging(self, ms):
        """The contactor stays closed, and nothing has begun that will open it."""
        self.never(lambda: not self.outputs.contactor or not self.controller.offering, ms)

    def reason(self, code):
        assert self.permit.reason == code, (self.permit.reason, code)
