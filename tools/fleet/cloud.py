"""A cloud with a limited number of handshakes a second, and what it tells its fleet about that.

All times are ticks of 100 ms. Work is counted in handshakes: connecting one client costs 1.
"""

from __future__ import annotations

import collections

import numpy as np

TICKS_PER_S = 10
PATIENCE = 10 * TICKS_PER_S  # after which a client gives up an attempt
REFUSAL_COST = 0.02  # of a handshake, for the shedding cloud to say no
MESSAGE_COST = 0.04  # of a handshake, for one QoS 1 message of a client's backlog
_RESOLVERS = 16  # the fleet sits behind this many DNS caches
_SHED_QUEUE_S = 1.0  # what the shedding cloud lets wait, in seconds of its capacity
_FIFO_QUEUE_S = 60.0
_MEASURE_S = 5
_MARGIN = 1.2
_QUEUE_WEIGHT = 20
_GROWTH = 1.002  # every _MEASURE_S: a cloud that is not full may manage more than it did
_MESSAGES_AT_MOST = 0.8  # of the work of a tick, while handshakes wait


class Cloud:
    """Serves attempts one after the other.

    `sheds`: whoever finds more than a second's queue is refused at once. Otherwise the queue has
    room for a minute at full capacity, and the cloud works it off without seeing that clients have
    given up (FIFO); whoever finds no room gets no answer.
    """

    def __init__(self, capacity, sheds, queue_s=_FIFO_QUEUE_S):
        self.capacity = capacity  # handshakes/s now
        self.sheds = sheds
        self._longest = int(capacity * queue_s)
        self.queue = collections.deque()  # [clients, how many, tick of the attempt]
        self._young = collections.deque()  # those of them whose clients may still be there
        self.queued = 0
        self.message_work = 0.0  # of those who send their backlog unasked
        self.spare = 0.0  # work that a tick left over, for granted backlog
        self._budget = 0.0
        self.served_now = 0
        self.was_full = False

    def offer(self, clients, tick):
        """Take attempts; the clients that are refused at once (shedding) are returned."""
        if self.sheds:
            room = int(max(0, self.capacity * _SHED_QUEUE_S - self.queued - self.message_work))
            refused = clients[room:]
            clients = clients[:room]
            self._budget -= REFUSAL_COST * len(refused)
        else:
            refused = clients[:0]
            clients = clients[: max(0, self._longest - self.queued)]
        if len(clients):
            entry = [clients, len(clients), tick]
            self.queue.append(entry)
            self._young.append(entry)
            self.queued += len(clients)
        while self._young and self._young[0][2] + PATIENCE < tick:
            self._young.popleft()[0] = None  # nobody of them waits any more
        return refused

    def serve(self):
        """One tick of work; lists of (clients, tick of their attempt) whose turn has come."""
        per_tick = self.capacity / TICKS_PER_S
        self._budget = min(self._budget + per_tick, per_tick + 1)
        if self.message_work > 0 and self._budget > 0:
            most = self._budget * (_MESSAGES_AT_MOST if self.queued else 1.0)
            done = min(self.message_work, most)
            self.message_work -= done
            self._budget -= done
        served = []
        self.served_now = 0
        while self.queue and self._budget >= 1:
            entry = self.queue[0]
            clients, waiting, tick = entry
            count = min(waiting, int(self._budget))
            if clients is not None:
                served.append((clients[:count], tick))
                entry[0] = clients[count:]
            entry[1] -= count
            if not entry[1]:
                self.queue.popleft()
            self.queued -= count
            self.served_now += count
            self._budget -= count
        self.was_full = self._budget < 1
        self.spare = max(0.0, self._budget) if not self.queue else 0.0
        return served

    def clear(self):
        """The cloud was restarted: nobody waits any more."""
        self.queue.clear()
        self.queued = 0
        self.message_work = 0.0


class Hint:
    """What the cloud publishes in DNS, and what caches make of it (time to live 30 s).

    The window is for those who are missing, by what the cloud has measured itself to manage, with
    a fifth more for bad luck. A queue counts many times: whoever comes while it is long is served
    for nothing. While nobody is missing it is the window of the whole fleet, for the next disaster.
    """

    def __init__(self, fleet_size, capacity, window_s, ttl_s=30):
        self.ttl = ttl_s * TICKS_PER_S
        self.window_s = self.rest_s = window_s
        self._fleet_size = fleet_size
        self._capacity = self._most = float(capacity)
        self._served = 0
        self._full = 0
        self._ticks = 0
        self.seen = np.full(_RESOLVERS, window_s, dtype=np.int64)
        self._fresh_until = np.arange(_RESOLVERS) * self.ttl // _RESOLVERS

    def measure(self, cloud, missing):
        """One tick: count what was served, and publish every five seconds."""
        self._served += cloud.served_now
        self._full += cloud.was_full
        self._ticks += 1
        if self._ticks == _MEASURE_S * TICKS_PER_S:
            rate = self._served / _MEASURE_S
            if self._full > 0.9 * self._ticks:
                self._capacity = max(rate, self._most / 100)
            else:
                self._capacity = min(self._most, max(rate, self._capacity * _GROWTH))
            self._served = self._full = self._ticks = 0
            if missing:
                need_s = (_MARGIN * missing + _QUEUE_WEIGHT * cloud.queued) / self._capacity
                self.window_s = max(self.ttl / TICKS_PER_S, need_s)
            else:
                self.window_s = self.rest_s

    def ask(self, tick):
        """The answers of the caches at this tick, one for each client modulo their number."""
        stale = self._fresh_until <= tick
        if stale.any():
            self.seen[stale] = min(65535, round(self.window_s))
            self._fresh_until[stale] += self.ttl
        return self.seen
