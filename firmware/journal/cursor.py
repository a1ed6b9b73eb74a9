"""Reading the journal forwards: one buffer, and a bounded amount of flash a step.

Between two steps anything may be appended, acked, compacted or erased. Nothing but a record whose
checksum is right is ever handed out, and every number is accounted for: as a record, or as part of
a range that is lost, and why.
"""

import struct

from micropython import const

from firmware.journal.reading import Reader

_FOOTER = const(8)
_INTERNAL = const(28)
_GAP = const(30)
_LOG = const(2)
_COMPACT = const(3)
_TRIES = const(8)  # records that a step passes over

AGAIN = const(0)  # nothing yet: step again, after others had their turn
RECORD = const(1)
LOST = const(2)
AT_END = const(3)


class Cursor(Reader):
    """Hands out records from `seq` on.

    After RECORD: `record_seq`, `kind` (a number of fields.py), `flag`, `boot`, `uptime_s`, `utc_s`
    (since 2000; 0 while unknown), `quality`; fields.unpack(cursor) gives all of it as a dict.
    After LOST: `lost_from`, `lost_to`, `why` ("Compacted", "Full", "Damaged", or "Acked" for what
    the cloud has, and was overwritten since). `seq` is the number that comes next.
    """

    def __init__(self, journal, seq):
        super().__init__(journal)
        self.seq = seq
        self.why = ""
        self.lost_from = self.lost_to = 0
        self._layout = -1
        self._end = self._kind = 0

    def place(self):
        """Where it stands, for `go_to` of another cursor; it begins with `seq`."""
        return (
            self.seq, self._layout, self.sector, self.offset, self._end, self._kind, self.damaged
        )  # fmt: skip

    def go_to(self, place):
        """Go on where another cursor of this journal stood, without the way through its sector."""
        self.seq = place[0]
        if place[2] >= 0 and self.enter(place[2]):
            _, self._layout, _, self.offset, self._end, self._kind, self.damaged = place
        else:
            self.sector = -1  # look for it

    def step(self):
        """AGAIN, RECORD, LOST or AT_END; more may come after AT_END."""
        journal = self.journal
        if self._layout != journal.layout:
            self._layout = journal.layout
            self.sector = -1
        if self.seq > journal.last_seq:
            return AT_END
        if self.sector < 0:
            return self._locate()
        self.forget()  # others may have written since
        for _ in range(_TRIES):
            head = self.sector == journal.head
            end = min(self._end, journal.last_seq)
            found = self.find(journal.offset if head else journal.store.size - _FOOTER)
            if found < 0:
                return AGAIN
            if not found:
                self.sector = -1
                return self._lost(end) if self.seq <= end else AGAIN
            seq = self.record_seq
            if seq < self.seq:
                self.damaged = False  # what was, lies before the numbers that are looked for
            elif self.kind == _GAP:
                first = struct.unpack_from("<I", self.buffer, self.body)[0]
                if first > self.seq:
                    self.offset -= self.buffer[self.at]
                    return self._lost(first - 1)
                self.damaged = True
                return self._lost(seq)
            elif self.kind < _INTERNAL:
                if seq > self.seq:
                    self.offset -= self.buffer[self.at]  # to come upon it once more
                    return self._lost(seq - 1)
                self.seq = seq + 1
                self.damaged = False
                return RECORD
        return AGAIN

    def _lost(self, last):
        journal = self.journal
        self.lost_from = self.seq
        self.lost_to = last
        if last <= journal.acked:
            self.why = "Acked"
        elif last <= journal.dropped:
            self.why = "Full"
        elif self._kind == _COMPACT and not self.damaged:
            self.why = "Compacted"
        else:
            self.why = "Damaged"
        self.seq = last + 1
        self.damaged = False
        return LOST

    def _locate(self):
        """Find the sector of `seq`; LOST if there is none."""
        journal = self.journal
        first = journal.first
        seq = self.seq
        kind = _LOG
        after = journal.last_seq + 1
        if seq <= journal.compacted:
            kind = _COMPACT
            after = journal.compacted + 1
        best = -1
        for i in range(len(first)):
            if journal.state[i] == kind:
                if first[i] > seq:
                    after = min(after, first[i])
                elif best < 0 or first[i] > first[best]:
                    best = i
        self._kind = 0
        self.damaged = False
        if journal.acked < seq <= journal.dropped:
            return self._lost(journal.dropped)
        self._kind = kind
        self._end = after - 1
        if best >= 0 and self.enter(best):
            if kind == _COMPACT:
                # What lies between its own end and the next sector has vanished.
                last = self.last()
                if last < seq:
                    best = -1
                else:
                    self._end = min(self._end, last)
        else:
            best = -1
        if best < 0:
            self.sector = -1
            self.damaged = True
            return self._lost(self._end)
        if best == journal.head:
            self._end = 0x3FFFFFFF
        return AGAIN
