"""A bounded queue between the main loop and the uplink's thread."""

import _thread


class Mailbox:
    """Holds up to `slots` messages. Any thread may call anything; nobody waits, but for a moment.

    What was taken last is kept until the next take, and counts: it is not done with. A thread of an
    interpreter without a global lock would otherwise hold it alone, and a collection that is just
    under way could miss it.
    """

    def __init__(self, slots):
        self._lock = _thread.allocate_lock()
        self._slots = [None] * (slots + 1)  # one for what was taken last
        self._first = 0
        self._count = 0

    def __len__(self):
        return self._count + (self._slots[self._first - 1] is not None)

    def put(self, message):
        """Add `message`, which is not None; False, and nothing changes, when it is full."""
        with self._lock:
            size = len(self._slots)
            if self._count + 1 >= size:
                return False
            self._slots[(self._first + self._count) % size] = message
            self._count += 1
        return True

    def take(self):
        """The oldest message, which is then no longer in it; None if there is none."""
        with self._lock:
            slots = self._slots
            first = self._first
            slots[first - 1] = None
            if not self._count:
                return None
            self._first = (first + 1) % len(slots)
            self._count -= 1
            return slots[first]

    def clear(self):
        """Forget all messages."""
        while self.take() is not None:
            pass
