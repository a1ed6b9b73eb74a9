"""Which records of the journal go up next: the outbox between the journal and the worker.

Promises: nothing is taken for stored but what the cloud has acked; records that are new since the
connection began do not wait behind the backlog; the backlog goes only as far as the cloud's grant
reaches, or as a slow trickle to a cloud that knows no grants; what was sent and is not acked for
long goes up again. The journal itself stays as it is: `acked` is the journal's own.
"""

from micropython import const

from firmware.briefly import briefly

_UNGRANTED_MS = const(60000)  # no grant for so long after connecting: the cloud knows none
_TRICKLE_MS = const(15000)  # and up to three times as long, at random
_AGAIN_MS = const(120000)  # sent, and neither acked nor refused: it did not arrive
_ROOM = const(2)  # messages that wait, about one batch: the thread always has the next one


class Outbox:
    """What was sent of `journal` through `mailbox`; `draw` takes a most and returns a number.

    `granted` is how many records of the backlog may still go; -1: the cloud has not said.
    """

    def __init__(self, journal, mailbox, draw):
        self.journal = journal
        self.mailbox = mailbox
        self.draw = draw
        self.granted = -1
        self.place = None  # where the last batch ended, see batch.py
        self._backlog = 0  # all before this was sent in this connection, or acked
        self._again = 0  # up to here what was acked goes up again
        self._live = 0  # the same for what is new since it began
        self._began = 0  # the last record when it began
        self._wait_ms = 0
        self._quiet_ms = 0
        self._acked = 0

    def rewind(self):
        """A new connection: whatever is not acked may not have arrived."""
        self.granted = -1
        self._backlog = self._acked = self.journal.acked
        self._live = self._began = self.journal.last_seq
        self._wait_ms = _UNGRANTED_MS
        self._quiet_ms = 0

    def grant(self, records):
        """The cloud takes so many records of the backlog from now on."""
        self.granted = records

    def resend(self, after):
        """All that was sent goes up again, as granted, from behind this number: acked or not."""
        self._backlog = after
        self._again = self.journal.acked
        self._began = self._live

    def step(self, dt_ms):
        """Put the next batch into the mailbox, if one is due and there is room for it.

        Reads flash and takes memory for a moment; not for the tick.
        """
        journal = self.journal
        acked = journal.acked
        self._wait_ms = max(0, self._wait_ms - dt_ms)
        self._quiet_ms += dt_ms
        if acked != self._acked or max(self._backlog, self._live) <= acked:
            self._acked = acked
            self._quiet_ms = 0
        elif self._quiet_ms > _AGAIN_MS:
            self._quiet_ms = 0
            self.resend(acked)
        if self._backlog >= self._again:
            self._backlog = max(self._backlog, acked)
        if len(self.mailbox) >= _ROOM:
            return
        if self._live < journal.last_seq:
            self._live = self._send(self._live + 1, journal.last_seq)
        elif self._backlog < self._began:
            last = self._began
            if self.granted >= 0:
                last = min(last, self._backlog + self.granted)
            elif self._wait_ms:
                return
            if last > self._backlog:
                sent = self._send(self._backlog + 1, last)
                if self.granted >= 0:
                    self.granted = max(0, self.granted - (sent - self._backlog))
                else:
                    self._wait_ms = _TRICKLE_MS + self.draw(2 * _TRICKLE_MS)
                self._backlog = sent

    def _send(self, first, last):
        """Send records from `first` on, up to `last` at most; the last that was sent."""
        return briefly("firmware.uplink.batch").send(self, first, last)
