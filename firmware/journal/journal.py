"""The journal: records appended to a ring of flash sectors, freed only by the cloud's ack.

Promises: when `append` returns, the record survives every power cut (a checkpoint on a store that
groups its writes: when `last_seq` has reached it); records are numbered from 1 without gaps within
an `epoch`, and no number is ever used twice; nothing is freed that was neither acked nor, for want
of room, given up and reported as lost. Writing blocks while the flash works (a millisecond or two;
an erase 25 to 400 ms), so it happens outside the tick. Nothing is erased here but by `make_room`,
which is for when the contactor is open, or when no erased sector is left.

One logic over two stores (raw_store.py, file_store.py). Reading is in cursor.py, the start in
recovery.py, compaction and giving up in room.py, what a record says in fields.py: modules that
are loaded while they are needed. docs/journal.md has the format.
"""

import struct
from array import array
from binascii import crc32

from micropython import const

from firmware.briefly import briefly

HEADER = const(48)
FOOTER = const(8)
LONGEST = const(96)  # bytes of a record
VERSION = const(1)

# Of a sector. What is on flash in JUNK is of no use: it may be erased.
JUNK = const(0)
READY = const(1)  # erased, and checked to be
LOG = const(2)
COMPACT = const(3)
MAKING = const(4)  # being filled by a compaction

# Kinds of record that the ring itself must know; all others are in fields.py.
START = const(3)
CHECKPOINT = const(4)
END = const(5)
CLOSED = const(6)
# Without a number of their own, and never shown.
INTERNAL = const(28)
FREE = const(28)
CARRY = const(29)
GAP = const(30)

_TURN = "firmware.journal.turn"


class Journal:
    """A ring in `store`; `recovery.start(journal, boot)` must come before everything else.

    `epoch`, `last_seq` (the newest durable record), `acked`, `dropped` (the newest record given up
    for want of room), `boot` (this start's number in the records), `notice` (a sentence about
    damage, or None), `refusal` (a sentence why nothing is recorded, or None), `erases`, `bad`,
    `cut_session` (this start closed a session that the power had cut).
    """

    def __init__(self, store):
        n = store.sectors
        self.store = store
        self.first = array("I", bytes(4 * n))  # the seq with which each sector begins
        self.state = bytearray(n)
        self.bad = []  # sectors that refused a write: readable, not used again
        self.ahead = max(2, min(4, n // 8))  # erased sectors to keep in stock
        self.notice = self.refusal = None
        self.epoch = self.serial = self.boot = 0
        self.last_seq = self.acked = self.dropped = 0
        self.compacted = 0  # the seq up to which sectors are compacted
        self.head = self.previous = -1
        self.offset = store.size
        self.salt = 0  # the head's header's CRC, from which its records' CRCs start
        self.base_boot = 0
        self.layout = 0  # counts changes of what lies where
        self.making = -1
        self.erases = 0
        self.warned = self.full = self.noted = False
        self.alarms = []  # (code, value) to be recorded as a notice
        # The session that runs: its boot, session, meter_wh, energy_wh, duration_s, estimated.
        self.open_session = self.cut_session = False
        self.carry = bytearray(19)
        self._out = bytearray(store.group)
        self._used = 0
        self._held_s = 0

    def append(self, kind, values, uptime_s, utc_s=0, quality=0):
        """Record `kind` (a name of fields.py) with the tuple `values`; the seq it gets.

        `uptime_s` since this boot, `utc_s` since 2000, `quality` 0 to 3 (unknown, phone, cloud,
        ntp). ValueError for values that do not fit; OSError if no sector takes the record: it is
        not recorded then.
        """
        if self.refusal:
            raise OSError(self.refusal)
        number, body = briefly("firmware.journal.packing").pack(kind, values)
        return self.append_packed(number, body, uptime_s, utc_s, quality)

    def append_packed(self, number, body, uptime_s, utc_s=0, quality=0):
        """As `append`, with a record that packing.pack has made."""
        out = self._out
        n = len(body) + (17 if quality else 13)
        if n > LONGEST:
            raise ValueError("the record is too long")
        if self._used + n > len(out):
            self.flush()
        at = self._used
        if not at:
            self._held_s = uptime_s
        struct.pack_into("<BBHBI", out, at, n, number | quality << 6, 0, 0, uptime_s)
        at += 9
        if quality:
            struct.pack_into("<I", out, at, utc_s)
            at += 4
        out[at : at + len(body)] = body
        self._used += n
        seq = self.last_seq + 1
        at = 0
        while at + out[at] < self._used:
            seq += 1
            at += out[at]
        if (
            number & 31 != CHECKPOINT
            or self._used + LONGEST > len(out)
            or uptime_s - self._held_s >= self.store.hold_s
        ):
            self.flush()
            try:
                while self.alarms:
                    self.append("notice", self.alarms.pop(0), uptime_s, utc_s, quality)
            except OSError:
                pass  # the record itself is durable
        return seq

    def flush(self):
        """Make durable what is held back; OSError, and it is forgotten, if no sector takes it."""
        out = memoryview(self._out)
        used = self._used
        tries = 0
        while used:
            self._used = 0
            if (
                self.offset + used > self.store.size - FOOTER
                or self.last_seq - self.first[self.head] > 65000
                or self.boot - self.base_boot > 255
            ):
                briefly(_TURN).next_sector(self, self.acked)
            at = 0
            seq = self.last_seq
            while at < used:
                seq += 1
                self._seal(out[at : at + out[at]], seq)
                at += out[at]
            at = self.offset
            self.offset += used  # if it is refused: what is left there is passed over by readers
            if self.store.program(self.head, at, out[:used]):
                self.last_seq = seq
                at = 0
                while at < used:
                    self.follow(out[at + 1], out, at, self.boot)
                    at += out[at]
                return
            # Make sure that nobody takes it for a record: another may get its number.
            self.store.program(self.head, at, bytes(used))
            tries += 1
            if not self.store.wears:
                briefly(_TURN).reclaim(self, tries > 1)
            elif tries > 5:
                raise OSError("the journal's flash refuses every write")
            if not tries & 1:
                self.spoil(self.head)
                self.offset = self.store.size

    def _seal(self, record, seq):
        boot = self.boot - self.base_boot & 255  # of no meaning where it is above, in a CARRY
        struct.pack_into("<HB", record, 2, seq - self.first[self.head], boot)
        n = len(record) - 4
        struct.pack_into("<I", record, n, crc32(record[:n], self.salt))

    def follow(self, number, record, at, boot):
        """Keep in mind the session that the record at `at` of a buffer starts, goes on or ends."""
        carry = self.carry
        flags = number & 32
        at += 13 if number > 63 else 9
        number &= 31
        if number == START:
            struct.pack_into("<I", carry, 0, boot)
            carry[4:10] = record[at : at + 6]
            carry[10:19] = b"\0\0\0\0\0\0\0\0\0"
            self.open_session = True
        elif number == CHECKPOINT:
            struct.pack_into("<I", carry, 0, boot)
            carry[4:18] = record[at : at + 14]
            carry[18] = flags
            self.open_session = True
        elif number == CARRY:
            carry[:] = record[at : at + 19]
            self.open_session = True
        elif number == END or number == CLOSED:
            self.open_session = False

    def note(self, number, body):
        """Write an internal record into the head; False if there is no room, or it was refused."""
        record = bytearray(13 + len(body))
        record[0] = len(record)
        record[1] = number
        record[9:-4] = body
        at = self.offset
        if at + len(record) > self.store.size - FOOTER:
            return False
        self._seal(memoryview(record), self.last_seq + 1)
        self.offset += len(record)
        return self.store.program(self.head, at, record)

    def ack(self, epoch, through):
        """The cloud has everything up to `through`: None, or a sentence why that is refused.

        What was acked may be overwritten, and can be read until it is. OSError if it could not be
        noted: then nothing was freed.
        """
        if epoch != self.epoch or self.refusal:
            return "that is the epoch of another journal"
        if through > self.last_seq:
            return "that record has not been written yet"
        if through > self.acked:
            if not self.note(FREE, struct.pack("<II", through, self.dropped)):
                briefly(_TURN).next_sector(self, through)
            self.acked = through
        return None

    def spoil(self, i):
        """Remember that the sector `i` refused a write."""
        if self.state[i] != LOG:
            self.state[i] = JUNK
        if self.store.wears and i not in self.bad:
            self.bad.append(i)
            if len(self.alarms) < 4:
                self.alarms.append(("BadSector", i))
            self.notice = "a sector of the journal's flash refused a write: it is not used again"

    def stock(self):
        """How many erased sectors there are."""
        return sum([s == READY for s in self.state])

    def make_room(self):
        """Steps that erase ahead, and compact if need be; each blocks for one erase at most.

        For when the contactor is open; may be closed at any step. Nothing to do: no step.
        """
        if self.stock() < self.ahead and not self.refusal:
            yield from briefly("firmware.journal.room").making(self)

    def end(self, i):
        """The last seq that the sector `i` stands for."""
        kind = self.state[i]
        end = self.compacted + 1 if kind == COMPACT else 0x3FFFFFFF
        for k in range(len(self.state)):
            if self.state[k] == kind and self.first[i] < self.first[k] < end:
                end = self.first[k]
        return end - 1

    def oldest(self, kind):
        """The sector of this kind with the lowest seq, or -1."""
        best = -1
        for i in range(len(self.state)):
            if self.state[i] == kind and (best < 0 or self.first[i] < self.first[best]):
                best = i
        return best

    def needed(self, kind):
        """The lowest seq for which sectors of this kind are still needed."""
        return max(self.acked, self.dropped, self.compacted if kind == LOG else 0) + 1

    def spare(self):
        """The next sector that may be erased without loss, or -1."""
        n = len(self.state)
        for i in range(n):
            i = (self.head + 1 + i) % n
            if self.state[i] == JUNK and i not in self.bad:
                return i
        best = -1
        for kind in (LOG, COMPACT):
            i = self.oldest(kind)
            while i in self.bad and self.end(i) < self.needed(kind):
                self.state[i] = JUNK  # it was readable, and nobody needs it any more
                i = self.oldest(kind)
            if (
                i >= 0
                and i != self.previous
                and i not in self.bad
                and self.end(i) < self.needed(kind)
                and (best < 0 or self.first[i] < self.first[best])
            ):
                best = i
        return best

    def percent_full(self):
        """How much of the ring holds records that were not acked."""
        full = 1
        for i in range(len(self.state)):
            kind = self.state[i]
            if (kind == LOG or kind == COMPACT) and self.first[i] > self.needed(kind):
                full += 1
        return min(100, full * 100 // max(1, len(self.state) - len(self.bad) - 2))

    def pending(self):
        """How many records wait for the cloud's ack."""
        return self.last_seq - self.acked

    def capacity(self):
        """About how many records fit, taken at 32 bytes each."""
        n = len(self.state) - len(self.bad) - 2
        return n * (self.store.size - HEADER - FOOTER) // 32
