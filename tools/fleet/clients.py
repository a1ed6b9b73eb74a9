"""The rules by which clients come back: the firmware's, and those of others to compare with.

Every kind has: `start(clients)` after power-up, `lost(clients)` when a connection was dropped,
`failed(clients)`, `connected(clients)`, `stable(clients)`; all take an array of client numbers, and
the first three return the ticks to wait until the next attempt. `ready(clients, waited)`, after so
many ticks, returns more ticks to wait, 0 to try now, or None for 0 for all; `hear(answers)` is told
what DNS answers.
"""

from __future__ import annotations

import numpy as np

from firmware.uplink import backoff
from tools.fleet.cloud import TICKS_PER_S

_DRAWS = 1 << 18
_TICK_MS = 1000 // TICKS_PER_S


class _Others:
    """What all rules of others share: one counter of failures, reset as soon as they connect."""

    paced = False  # their backlog goes up at once

    def __init__(self, size, random):
        self.random = random
        self.tries = np.zeros(size, dtype=np.int32)

    def start(self, clients):
        """Most of them connect as soon as they have started."""
        self.tries[clients] = 0
        return np.zeros(len(clients), dtype=np.int32)

    def lost(self, clients):
        return self.failed(clients)

    def failed(self, clients):
        wait_s = self.wait_s(clients)
        self.tries[clients] += 1
        return np.maximum(1, (wait_s * TICKS_PER_S).astype(np.int32))

    def ready(self, clients, waited):
        return None

    def hear(self, answers):
        pass

    def connected(self, clients):
        self.tries[clients] = 0

    def stable(self, clients):
        pass

    def uniform(self, most_s):
        return self.random.random(len(most_s)) * most_s


class Fixed(_Others):
    """5 s after every failure and loss."""

    def wait_s(self, clients):
        return np.full(len(clients), 5.0)


class Exponential(_Others):
    """1, 2, 4 ... 60 s."""

    def wait_s(self, clients):
        return np.minimum(60.0, 2.0 ** np.minimum(self.tries[clients], 10))


class FullJitter(_Others):
    """Uniform below 1, 2, 4 ... 300 s."""

    def wait_s(self, clients):
        return self.uniform(np.minimum(300.0, 2.0 ** np.minimum(self.tries[clients], 10)))


class Decorrelated(_Others):
    """Uniform between 1 s and three times the wait before, at most 300 s."""

    def __init__(self, size, random):
        super().__init__(size, random)
        self.before_s = np.ones(size)

    def wait_s(self, clients):
        fresh = self.tries[clients] == 0
        before_s = np.where(fresh, 1.0, self.before_s[clients])
        wait_s = np.minimum(300.0, 1.0 + self.uniform(3 * before_s - 1.0))
        self.before_s[clients] = wait_s
        return wait_s


class Ocpp201(_Others):
    """RetryBackOffWaitMinimum 15 s, RetryBackOffRandomRange 5 s, RetryBackOffRepeatTimes 3."""

    def wait_s(self, clients):
        return 15.0 * 2.0 ** np.minimum(self.tries[clients], 3) + self.uniform(
            np.full(len(clients), 5.0)
        )


class Zaptec(_Others):
    """10 s + min(n^2, 180 s) + jitter from the second attempt on; 45 s instead of 180 with a car.

    How long the jitter is was not published; 10 s is assumed, and a car at a third of them.
    """

    def wait_s(self, clients):
        n = self.tries[clients].astype(float)
        most = np.where(clients % 3 == 0, 45.0, 180.0)
        jitter = np.where(n > 0, 10.0, 0.0)
        return 10.0 + np.minimum(n * n, most) + self.uniform(jitter)


class Holdfast:
    """The firmware's rules: one Backoff of firmware/uplink for each charger."""

    paced = True  # the backlog goes up as granted

    def __init__(self, size, random, window_s=0, head_percent=0, urgency=None):
        self.chargers = [backoff.Backoff(window_s, head_percent) for _ in range(size)]
        if urgency is not None:
            for charger, value in zip(self.chargers, urgency.tolist(), strict=True):
                charger.urgency = value
        self._random = random
        self.draw = self._draws().__next__
        self.answers = None  # of DNS, for the client numbers modulo their count; None: no hint

    def _draws(self):
        while True:
            yield from self._random.integers(0, 32768, _DRAWS).tolist()

    def _waits(self, clients, why):
        draw = self.draw
        chargers = self.chargers
        waits = []
        answers = self.answers
        most_ms = 1 << 30 if answers is None else backoff.ASK_MS
        for number in clients.tolist():
            charger = chargers[number]
            charger.ended(why)
            if answers is not None:
                charger.hint_s = answers[number % len(answers)]
            waits.append(min(most_ms, charger.wait_ms(draw)))
        return -(-np.array(waits, dtype=np.int64) // _TICK_MS)

    def start(self, clients):
        return self._waits(clients, backoff.OWN)

    def lost(self, clients):
        return self._waits(clients, backoff.LOST)

    def failed(self, clients):
        return self._waits(clients, backoff.FAILED)

    def hear(self, answers):
        """What DNS says from now on."""
        self.answers = None if answers is None else answers.tolist()

    def ready(self, clients, waited):
        if self.answers is None:
            return None
        left = []
        answers = self.answers
        for number, ticks in zip(clients.tolist(), waited.tolist(), strict=True):
            charger = self.chargers[number]
            charger.hint_s = answers[number % len(answers)]
            left.append(min(backoff.ASK_MS, charger.left_ms(ticks * _TICK_MS)))
        return -(-np.array(left, dtype=np.int64) // _TICK_MS)

    def connected(self, clients):
        pass

    def stable(self, clients):
        for number in clients.tolist():
            self.chargers[number].stable()


class Mixed:
    """Clients below `border` follow `first`, the others `second`; both know all numbers."""

    paced = True

    def __init__(self, border, first, second):
        self.border = border
        self.first = first
        self.second = second

    def _waits(self, clients, name, waited=None):
        waits = np.zeros(len(clients), dtype=np.int64)
        is_first = clients < self.border
        for mask, part in ((is_first, self.first), (~is_first, self.second)):
            if mask.any():
                arguments = () if waited is None else (waited[mask],)
                more = getattr(part, name)(clients[mask], *arguments)
                if more is not None:
                    waits[mask] = more
        return waits

    def start(self, clients):
        return self._waits(clients, "start")

    def lost(self, clients):
        return self._waits(clients, "lost")

    def failed(self, clients):
        return self._waits(clients, "failed")

    def ready(self, clients, waited):
        return self._waits(clients, "ready", waited)

    def connected(self, clients):
        self._waits(clients, "connected")

    def stable(self, clients):
        self._waits(clients, "stable")

    def hear(self, answers):
        self.first.hear(answers)
        self.second.hear(answers)


OTHERS = {
    "fixed 5 s": Fixed,
    "exponential": Exponential,
    "full jitter": FullJitter,
    "decorrelated": Decorrelated,
    "OCPP 2.0.1": Ocpp201,
    "Zaptec": Zaptec,
}
