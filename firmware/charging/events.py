"""What happened, for the rooms that tell others: one bounded queue for each of them.

A queue that is full drops its oldest event and counts it: telling never delays charging.
"""

from micropython import const

SESSION_STARTED = const(1)
SESSION_ENDED = const(2)
CHARGING = const(3)  # contactor confirmed closed
PAUSED = const(4)  # contactor opened within a session
FAULT = const(5)
FAULT_CLEARED = const(6)
LOCKED = const(7)
UNLOCKED = const(8)


class EventQueue:
    """At most `size` events of the form (kind, code, value, now_ms), first in first out.

    `code` is a reason or fault code or "", `value` the energy in Wh where a session or a pause is
    concerned and the fault's counter where a fault is, `now_ms` the tick's time.
    """

    def __init__(self, size=16):
        self._slots = [None] * size
        self._first = 0
        self._count = 0
        self.dropped = 0

    def __len__(self):
        return self._count

    def push(self, event):
        size = len(self._slots)
        if self._count == size:
            self._first = (self._first + 1) % size
            self._count -= 1
            self.dropped += 1
        self._slots[(self._first + self._count) % size] = event
        self._count += 1

    def pop(self):
        """The oldest event, or None."""
        if not self._count:
            return None
        event = self._slots[self._first]
        self._slots[self._first] = None
        self._first = (self._first + 1) % len(self._slots)
        self._count -= 1
        return event
