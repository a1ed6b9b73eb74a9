"""Which records of the journal go up next: the outbox between the journal and the worker.

Promises: nothing is taken for stored but what the cloud has acked; records that are new since the
cloud came do not wait behind the backlog; the backlog goes only as far as the cloud's grant
reaches, or as a slow trickle to a cloud that knows no grants; what was sent and is not acked for
long goes up again. The journal itself stays as it is.
"""

from micropython import const

from firmware.briefly import briefly

_AGAIN_MS = const(120000)  # sent, and neither acked nor refused: it did not arrive
_ROOM = const(3)  # messages, one of them under way: the thread always has the next batch


class Outbox:
    """What was sent of `journal` through `mailbox`; `draw` takes a most and returns a number.

    `granted` is how many records of the backlog may still go; -1: the cloud has not said. `acked`
    is how far the cloud has them, which the journal may not have noted yet.
    """

    def __init__(self, journal, mailbox, draw):
        self.journal = journal
        self.mailbox = mailbox
        self.draw = draw
        self.granted = -1
        self.acked = 0
        self.place = None  # where the last batch ended, see batch.py
        # What follows is set in presence.py and batch.py.
        self.backlog = 0  # all before this was sent since the cloud came, or acked
        self.again = 0  # up to here what was acked goes up again
        self.live = 0  # the same for what is new since it came
        self.began = 0  # the last record when it came
        self.wait_ms = 0
        self.quiet_ms = 0
        self._acked = 0

    def step(self, dt_ms):
        """(first, last) of the records that may go into the mailbox now, for batch.py; or None."""
        journal = self.journal
        acked = self.acked
        self.wait_ms = max(0, self.wait_ms - dt_ms)
        self.quiet_ms += dt_ms
        if acked != self._acked or max(self.backlog, self.live) <= acked:
            self._acked = acked
            self.quiet_ms = 0
        elif self.quiet_ms > _AGAIN_MS:
            self.quiet_ms = 0
            briefly("firmware.uplink.presence").resend(self, acked)
        if self.backlog >= self.again:
            self.backlog = max(self.backlog, acked)
        if len(self.mailbox) >= _ROOM:
            return None
        if self.live < journal.last_seq:
            return self.live + 1, journal.last_seq
        last = self.began
        if self.granted >= 0:
            last = min(last, self.backlog + self.granted)
        elif self.wait_ms:
            return None
        return (self.backlog + 1, last) if last > self.backlog else None
