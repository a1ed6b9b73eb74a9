"""How fast chargers may come back, and how fast they may send what they have kept.

The window follows the rule that the simulation has proved (tools/fleet/cloud.py, Hint), with two
differences that a real cloud needs. The published window is never shorter than the whole fleet
needs at full capacity: the answer may lie in a cache when everybody is dropped. And a real cloud
sees no queue of handshakes: it sends itself a message through the broker, and when that takes more
than a second, the broker or the cloud has too much to do.
"""

from __future__ import annotations

import math
import types

from tools.cloud.messages import LONGEST_WINDOW_S
from tools.fleet.cloud import MESSAGE_COST, TICKS_PER_S, Hint
from tools.fleet.scenarios import WINDOW

SLOW_S = 1.0  # a message of the cloud to itself that takes longer: too much to do
BATCH = 25  # records that a charger sends in one message
_SHARE_MISSING = 20  # less than one in so many missing is every day's business
_ALL_BACK = 50  # one in so many may be missing when the return is over
_CHANGE = 1.25  # chargers keep the retained window on flash: smaller changes are not published
_BUDGET_S = 2.0  # grants are handed out for so long ahead
_GRANT_AT_MOST = 500
_EXPIRES_S = 60.0  # a grant of which nothing has come for so long is given to others


class _Rule(Hint):
    """The simulation's rule, fed with what a real cloud sees."""

    def __init__(self, fleet_size: int, capacity: float):
        super().__init__(fleet_size, capacity, 1, ttl_s=1)

    @property
    def capacity(self) -> float:
        """Connects a second that the cloud has shown to manage."""
        return self._capacity


class Window:
    """The window for the next reconnect: `retained_s` for fleet/window, `hint_s` for DNS.

    `capacity` is what the operator says the cloud can do at most, in connects a second. `steps`
    makes the windows so many times as wide, until all are back after a deliberate offline.
    """

    def __init__(self, capacity: float, now_s: float):
        self.steps = 1
        self.fixed_s = 0  # by the operator, 0 for none
        self.retained_s = self.hint_s = 1
        self.connects_per_s = 0.0
        self.slow = False
        self._connects = 0
        self._second = self._measured_to_s = now_s
        self._delay_s = 0.0
        self.capacity = capacity
        self._rule = _Rule(0, capacity)

    def set_capacity(self, capacity: float) -> None:
        if capacity != self.capacity:
            self.capacity = capacity
            self._rule = _Rule(0, capacity)

    @property
    def measured_capacity(self) -> float:
        return self._rule.capacity

    def connected(self) -> None:
        """A charger has come."""
        self._connects += 1

    def delayed(self, delay_s: float) -> None:
        """How long the cloud's last message to itself took, or has been on its way by now."""
        self._delay_s = delay_s
        self.slow = delay_s > SLOW_S

    def measure(self, fleet: int, missing: int, now_s: float) -> None:
        """Bring both windows up to date; call it a few times a second or more rarely."""
        ticks = int((now_s - self._measured_to_s) * TICKS_PER_S)
        if ticks > 0:
            self._feed(fleet, missing, ticks)
        self._decide(fleet, missing)

    def _feed(self, fleet: int, missing: int, ticks: int) -> None:
        self._measured_to_s += ticks / TICKS_PER_S
        connects, self._connects = self._connects, 0
        span_s = ticks / TICKS_PER_S
        fading = math.exp(-span_s)
        self.connects_per_s = self.connects_per_s * fading + connects / span_s * (1 - fading)
        disaster = missing * _SHARE_MISSING > fleet
        seen = types.SimpleNamespace(
            served_now=connects,
            was_full=self.slow and disaster,
            queued=int(self._delay_s * self.connects_per_s) if self.slow else 0,
        )
        rule = self._rule
        for _ in range(min(ticks, 60 * TICKS_PER_S)):
            rule.measure(seen, missing)
            seen.served_now = 0

    def _decide(self, fleet: int, missing: int) -> None:
        if self.fixed_s:
            self.retained_s = self.hint_s = self.fixed_s
            return
        rest_s = WINDOW * fleet / self.capacity
        retained_s = _whole(WINDOW * fleet / self.measured_capacity * self.steps)
        if not self.retained_s / _CHANGE <= retained_s <= self.retained_s * _CHANGE:
            self.retained_s = retained_s
        # In steps: wide at first, and the narrower the more are back.
        wider = 1 + (self.steps - 1) * missing / max(1, fleet)
        self.hint_s = _whole(max(rest_s, self._rule.window_s) * wider)


def all_back(fleet: int, missing: int) -> bool:
    """Whether the return of the fleet is over: a few are always missing."""
    return missing * _ALL_BACK <= fleet


def _whole(window_s: float) -> int:
    return max(1, min(LONGEST_WINDOW_S, math.ceil(window_s)))


class Grants:
    """Whose turn it is to send its backlog, and how much of it.

    What connecting chargers leave over of the capacity is handed out, one grant after the other, so
    that the backlog never keeps a charger from coming back.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, None] = {}  # in the order in which they asked
        self._open: dict[str, list[float]] = {}  # records to come, of how many; last came when
        self._budget = 0.0

    def ask(self, charger: str) -> None:
        """The charger has something to send: it gets its turn."""
        if charger not in self._open:
            self._waiting[charger] = None

    def gone(self, charger: str) -> None:
        """The charger has nothing to send, or is not there."""
        self._waiting.pop(charger, None)
        self._open.pop(charger, None)

    def came(self, charger: str, count: int, now_s: float) -> None:
        """So many of its records have come."""
        grant = self._open.get(charger)
        if grant:
            grant[0] -= count
            grant[2] = now_s
            if grant[0] * 2 <= grant[1]:
                del self._open[charger]  # it may ask again before it has to stop

    def refill(self, capacity: float, connects_per_s: float, slow: bool, passed_s: float) -> None:
        """`passed_s` have passed: there is room for so many more records."""
        per_s = max(0.0, capacity - connects_per_s) / MESSAGE_COST * BATCH
        if slow:
            self._budget = 0.0
            return
        per_s = max(per_s, float(BATCH))
        on_the_way = sum(grant[0] for grant in self._open.values())
        self._budget = min(
            self._budget + per_s * passed_s, max(0.0, per_s * _BUDGET_S - on_the_way)
        )

    def next(self, pending, now_s: float) -> tuple[str, int] | None:
        """(charger, records) of the next grant, None if nobody waits or there is no room.

        `pending(charger)` says how many records it has; 0 passes it over.
        """
        while self._waiting:
            charger = next(iter(self._waiting))
            has = pending(charger)
            if has and self._budget < 1:
                break
            del self._waiting[charger]
            if has:
                count = int(min(max(has, BATCH), _GRANT_AT_MOST, max(self._budget, BATCH)))
                self._budget -= count
                self._open[charger] = [count, count, now_s]
                return charger, count
        return None

    def expired(self, now_s: float) -> list[str]:
        """The chargers of whose grant nothing has come for long; they are forgotten."""
        late = [name for name, grant in self._open.items() if now_s - grant[2] > _EXPIRES_S]
        for charger in late:
            del self._open[charger]
        return late

    def is_waiting(self, charger: str) -> bool:
        return charger in self._waiting
