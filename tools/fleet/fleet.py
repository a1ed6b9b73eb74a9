"""The clock of the simulation: clients that wait, ask, give up and are connected, tick by tick."""

from __future__ import annotations

import dataclasses

import numpy as np

from tools.fleet.cloud import MESSAGE_COST, PATIENCE, TICKS_PER_S

WAITING, ASKING, CONNECTED, AWAY = range(4)
_NEVER = np.iinfo(np.int32).max
_NOTICE = TICKS_PER_S  # within which a client notices that its connection is gone
_STABLE = 120 * TICKS_PER_S
_GRANT_RECORDS = 25  # records that a paced client sends in one message


@dataclasses.dataclass
class Outcome:
    """What came out of one run; times in seconds since the disaster, NaN where nobody is back."""

    attempts: np.ndarray  # per second
    arrivals: np.ndarray  # per second: successful connections
    back_s: np.ndarray  # of each client, NaN if it is not back
    ended_s: float
    backlog_s: float  # when all backlog was with the cloud, NaN if it was not

    def share_back(self):
        return float(np.isfinite(self.back_s).mean())

    def quantile_s(self, share, among=None):
        """When `share` of them (of those `among`, a mask) were back."""
        back_s = np.sort(self.back_s if among is None else self.back_s[among])
        return float(back_s[max(0, int(np.ceil(share * len(back_s))) - 1)])

    def peak(self):
        return int(self.attempts.max())

    def peak_later(self):
        """The worst second after the first one."""
        return int(self.attempts[1:].max(initial=0))

    def per_client(self):
        return float(self.attempts.sum() / len(self.back_s))


class Fleet:
    """`size` clients that follow `rules`, before `cloud`; all are connected when it begins.

    `random` is numpy's generator; `hint` publishes the window or is None; `backlog` counts the
    records that each client has kept and sends once it is connected.
    """

    def __init__(self, size, rules, cloud, random, hint=None, backlog=0):
        self.size = size
        self.rules = rules
        self.cloud = cloud
        self.random = random
        self.hint = hint
        self.backlog = backlog
        self.tick = 0
        self.state = np.full(size, CONNECTED, dtype=np.int8)
        self.wake = np.full(size, _NEVER, dtype=np.int32)
        self.began = np.zeros(size, dtype=np.int32)  # when the wait of each began
        self.asked = np.zeros(size, dtype=np.int32)
        self.back = np.zeros(size, dtype=np.int32)
        rules.stable(np.arange(size))
        self.up = size  # how many are connected
        self.granted_work = 0.0  # backlog that waits for grants
        self._attempts = []
        self._arrivals = []

    def drop(self, clients, away=False):
        """Their connections are gone; each notices within a second. Whoever waits goes on waiting.

        `away`: power or network is gone too, and they try nothing until `start`.
        """
        lost = clients[self.state[clients] == CONNECTED]
        self.up -= len(lost)
        if away:
            self.state[clients] = AWAY
            self.wake[clients] = _NEVER
            return
        self.state[lost] = WAITING
        notice = self.random.integers(0, _NOTICE, len(lost))
        self._wait(lost, self.rules.lost(lost), notice)

    def start(self, clients, after):
        """Their power and network are back, each `after` so many ticks."""
        self.state[clients] = WAITING
        self._wait(clients, self.rules.start(clients), after)

    def _wait(self, clients, ticks, after=0):
        self.began[clients] = self.tick + 1 + after
        self.wake[clients] = self.began[clients] + ticks

    def run(self, events, most_s, hopeless_s=0):
        """Let `events` ({second: function(fleet)}) happen; Outcome after `most_s` at the latest.

        `hopeless_s`: end before that if nobody was connected for so long.
        """
        events = {round(at_s * TICKS_PER_S): event for at_s, event in events.items()}
        last_event = max(events, default=0)
        attempts = arrivals = 0
        backlog_s = np.nan
        end = most_s * TICKS_PER_S
        while self.tick < end:
            if self.tick in events:
                events[self.tick](self)
            if self.hint is not None:
                self.hint.measure(self.cloud, self.size - self.up)
                if self.tick % TICKS_PER_S == 0:
                    self.rules.hear(self.hint.ask(self.tick))
            attempts += self._attempt(np.flatnonzero(self.wake == self.tick))
            arrivals += self._serve()
            self._send_backlog()
            self.tick += 1
            if self.tick % TICKS_PER_S == 0:
                self._attempts.append(attempts)
                self._arrivals.append(arrivals)
                attempts = arrivals = 0
                if 0 < hopeless_s < len(self._arrivals) and not any(self._arrivals[-hopeless_s:]):
                    break
                uploaded = self.granted_work <= 0 and self.cloud.message_work <= 0
                if uploaded and self.tick > last_event and self.up == self.size:
                    backlog_s = self.tick / TICKS_PER_S
                    break
        back_s = np.where(self.state == CONNECTED, self.back / TICKS_PER_S, np.nan)
        return Outcome(
            np.array(self._attempts),
            np.array(self._arrivals),
            back_s,
            self.tick / TICKS_PER_S,
            backlog_s,
        )

    def _attempt(self, due):
        """Wake those whose time has come; how many of them tried."""
        if not len(due):
            return 0
        state = self.state[due]
        late = due[state == ASKING]
        if len(late):
            self.state[late] = WAITING
            self._wait(late, self.rules.failed(late))
        stable = due[state == CONNECTED]
        if len(stable):
            self.wake[stable] = _NEVER
            self.rules.stable(stable)
        going = due[state == WAITING]
        if len(going):
            more = self.rules.ready(going, self.tick - self.began[going])
            if more is not None and more.any():
                self.wake[going[more > 0]] = self.tick + more[more > 0]
                going = going[more == 0]
        if not len(going):
            return 0
        # The numbers of clients must not decide who is first within a tick.
        going = self.random.permutation(going)
        self.state[going] = ASKING
        self.asked[going] = self.tick
        self.wake[going] = self.tick + PATIENCE
        refused = self.cloud.offer(going, self.tick)
        if len(refused):
            self.state[refused] = WAITING
            self._wait(refused, self.rules.failed(refused))
        return len(going)

    def _serve(self):
        count = 0
        for clients, tick in self.cloud.serve():
            # Who gave up, or asks again in a later place of the queue, is not served by this one.
            clients = clients[(self.state[clients] == ASKING) & (self.asked[clients] == tick)]
            if not len(clients):
                continue
            self.state[clients] = CONNECTED
            self.back[clients] = self.tick + 1
            self.wake[clients] = self.tick + _STABLE
            self.rules.connected(clients)
            count += len(clients)
        self.up += count
        if self.backlog and count:
            if self.rules.paced:
                messages = count * -(-self.backlog // _GRANT_RECORDS)
                self.granted_work += messages * MESSAGE_COST
            else:
                self.cloud.message_work += count * self.backlog * MESSAGE_COST
        return count

    def _send_backlog(self):
        if self.granted_work > 0:
            # A grant is never more than what this tick has left over.
            self.granted_work -= min(self.granted_work, self.cloud.spare)
