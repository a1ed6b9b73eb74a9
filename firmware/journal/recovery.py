"""The start of the journal: where it begins and ends, what was damaged, what is to be put right.

Reads every sector's header and last bytes, then the newest sector. `survey` writes nothing;
`start` goes on to close the session that the power cut, and to make a new journal if there is none.
A second power cut at any moment of it leaves something that the next start puts right.
"""

import os
import struct
from array import array
from binascii import crc32

from micropython import const

from firmware.briefly import briefly

_HEADER = const(48)
_FOOTER = const(8)
_LONGEST = const(96)
_SHORTEST = const(13)
_VERSION = const(1)
_JUNK = const(0)
_LOG = const(2)
_COMPACT = const(3)
_START = const(3)
_CLOSED = const(6)
_NOTICE = const(15)
_BAD_SECTOR = const(46)  # its code in fields.py
_INTERNAL = const(28)
_FREE = const(28)
_CARRY = const(29)


class _Found:
    """What a survey has found beside what is in the journal itself."""

    def __init__(self):
        self.newest = 0  # serial of the newest sector
        self.junk = 0  # sectors that are neither readable nor blank at their beginning
        self.damaged = 0  # places where something is missing that ought to be there
        self.torn = None  # (from, to) of what lies behind the newest record and is none
        self.resized = False
        self.boot = 0  # newest boot recorded
        self.lasts = None  # the last seq in each sector's footer
        self.open_footer = False  # the newest sector but one does not know its end


def start(journal, boot):
    """Open the journal, at start-up; `boot` is the number of this start by the caller's count.

    Afterwards `journal.boot` is the number in force: above every one recorded. Never raises:
    `journal.refusal` says in a sentence why nothing will be recorded, `journal.notice` what was
    damaged.
    """
    try:
        found = survey(journal)
        if journal.refusal:
            return
        journal.boot = max(boot, found.boot + 1)
        _settle(journal, found)
    except OSError as e:
        journal.refusal = f"the journal cannot be written: {e}"


def format(journal, boot):
    """Erase everything, and begin a new journal; takes a few seconds. OSError if it cannot be."""
    layout = journal.layout
    journal.__init__(journal.store)
    journal.layout = layout + 1  # who stands somewhere in it must look anew
    journal.boot = boot
    room = briefly("firmware.journal.room")
    for i in range(len(journal.state)):
        room.erase(journal, i)
    _settle(journal, _Found())


def _settle(journal, found):
    if journal.head < 0:
        journal.epoch = struct.unpack("<I", os.urandom(4))[0] | 1
    if found.torn:
        _wipe(journal, *found.torn)
    if found.open_footer and journal.previous >= 0:
        # The power went between the header of the newest sector and the end of the one before: to
        # program the same once more completes it.
        header = bytearray(_HEADER)
        journal.store.read(journal.previous, 0, header)
        salt = struct.unpack_from("<I", header, 44)[0]
        last = journal.first[journal.head] - 1
        briefly("firmware.journal.turn").close(journal, journal.previous, salt, last)
    if journal.last_seq == 0:
        journal.append("notice", ("Formatted", journal.epoch), 0)
    if journal.previous < 0 or found.resized:
        # Never only one sector: the one before tells that the newest has vanished. The header of
        # the newest has the size of the partition: that it has changed is noticed once.
        briefly("firmware.journal.turn").next_sector(journal, journal.acked)
    if journal.open_session:
        carry = journal.carry
        journal.append_packed(
            _CLOSED | carry[18],
            bytes(carry[4:18])
            + briefly("firmware.journal.packing").pack("unlock", ("PowerLoss",))[1]
            + bytes(carry[0:4]),
            0,
        )
        journal.cut_session = True


def _wipe(journal, at, end):
    """Make sure that what was torn stays no record.

    All that it lacks may be its last bytes, and the next record might begin with just these.
    """
    zeros = memoryview(bytearray(_LONGEST))
    while at < end:
        n = min(_LONGEST, end - at)
        if not journal.store.program(journal.head, at, zeros[:n], False):
            journal.offset = journal.store.size  # nothing more in this sector
            return
        at += n


def survey(journal):
    """Find out what is in the store, and say it in the journal's attributes. Writes nothing."""
    found = _Found()
    _sectors(journal, found)
    if journal.refusal:
        return found
    if journal.head >= 0:
        _newest_sector(journal, found)
        _gaps(journal, found)
    if found.damaged:
        journal.notice = "records of the journal are damaged or missing: it says which"
    elif found.torn:
        journal.notice = "the power failed while a record was being written, or it is damaged"
    elif found.junk and journal.head < 0:
        journal.notice = "the journal could not be read: a new one was begun"
    elif found.resized:
        journal.notice = "the journal's partition has another size than before"
    return found


def _sectors(journal, found):
    """Read all headers and footers."""
    store = journal.store
    count = store.sectors
    first, state = journal.first, journal.state
    serials = array("I", bytes(4 * count))
    lasts = found.lasts = array("I", bytes(4 * count))
    header = bytearray(_HEADER)
    view = memoryview(header)
    for i in range(count):
        try:
            store.read(i, 0, header)
        except OSError:
            found.junk += 1
            continue
        salt = struct.unpack_from("<I", header, 44)[0]
        if header[:2] != b"HJ" or crc32(view[:-4]) != salt:
            found.junk += min(header) < 255
            continue
        if header[2] > _VERSION:
            journal.refusal = "the journal was written by a newer firmware: nothing is recorded"
            return
        epoch, serial, seq, boot, acked, dropped, size, sectors = struct.unpack_from(
            "<IIIIIIHH", header, 4
        )
        if size != store.size:
            journal.refusal = f"the journal has sectors of {size} bytes: nothing is recorded"
            return
        if journal.epoch != epoch:
            if serial < found.newest:
                found.junk += 1
                continue
            for k in range(i):  # leftovers of an older journal
                state[k] = _JUNK
            journal.acked = journal.dropped = journal.compacted = found.newest = 0
            journal.epoch = epoch
        journal.acked = max(journal.acked, acked)
        journal.dropped = max(journal.dropped, dropped)
        if serial > found.newest:
            found.newest = serial
            found.resized = sectors != count
            journal.bad = [k for k in header[32:44] if k < count]
        kind = _LOG
        if header[3] & 1:
            kind = _COMPACT
        store.read(i, store.size - _FOOTER, view[:_FOOTER])
        last, check = struct.unpack_from("<II", header, 0)
        if crc32(view[:4], salt) == check:
            lasts[i] = last
            if kind == _COMPACT:
                journal.compacted = max(journal.compacted, last)
        elif kind == _COMPACT:
            continue  # not completed: what it was made from is still there
        serials[i] = serial
        first[i] = seq
        state[i] = kind
    journal.serial = found.newest
    for i in range(count):
        if state[i] == _LOG:
            head = journal.head
            if head < 0 or (first[i], serials[i]) > (first[head], serials[head]):
                journal.head = i
    for i in range(count):
        if state[i] == _LOG and i != journal.head:
            if first[i] == first[journal.head]:
                state[i] = _JUNK  # nothing came to be recorded in it
            elif journal.previous < 0 or first[i] > first[journal.previous]:
                journal.previous = i


def _newest_sector(journal, found):
    """Read the head: the last seq, where to go on, which session runs, what was acked."""
    head = journal.head
    store = journal.store
    cursor = briefly("firmware.journal.cursor").Cursor(journal, 1)
    limit = store.size - _FOOTER
    journal.last_seq = journal.first[head] - 1
    journal.offset = _HEADER
    known = _read(journal, cursor, head, found)
    journal.salt = cursor.salt
    journal.base_boot = cursor.base_boot
    last = found.lasts[head]
    if last:
        # Another one followed, and has vanished: its numbers are not used again.
        journal.last_seq = last + (store.size - _HEADER) // _SHORTEST
        journal.offset = store.size
        found.boot += 256
        found.damaged += 1
    else:
        at = journal.offset
        begin, end = _written(store, head, at, limit)
        if end > at:
            if begin - at < _LONGEST:
                # A record that was being written, or one that was damaged since: its number may
                # have been seen, so it is not used again.
                journal.last_seq += max(1, (end - begin) // _LONGEST * 7)
                journal.offset = end
                found.torn = (at, end)
            # else a bit has flipped where nothing was written: left to the writer to meet
    journal.last_seq = max(journal.last_seq, journal.acked)
    sector = journal.previous
    found.open_footer = sector >= 0 and not found.lasts[sector]
    # A session is known to run, but its state was damaged: look for it further back.
    while not known and sector >= 0:
        known = _read(journal, cursor, sector, found)
        below = -1
        for i in range(store.sectors):
            if (
                journal.state[i] == _LOG
                and journal.first[i] < journal.first[sector]
                and (below < 0 or journal.first[i] > journal.first[below])
            ):
                below = i
        sector = below


def _read(journal, cursor, sector, found):
    """Go through a sector; True if it is known then whether a session runs, and which."""
    if not cursor.enter(sector):
        return False
    known = not cursor.flags & 2
    found.boot = max(found.boot, cursor.base_boot)
    newest = sector == journal.head
    while True:
        good = cursor.find(journal.store.size - _FOOTER)
        if not good:
            return known
        if good < 0:
            continue
        kind = cursor.kind
        record = cursor.buffer
        if _START <= kind <= _CLOSED or kind == _CARRY:
            journal.follow(record[cursor.at + 1], record, cursor.at, cursor.boot)
            known = True
        if kind < _INTERNAL:
            found.boot = max(found.boot, cursor.boot)
        if newest:
            journal.offset = cursor.offset
            if kind >= _INTERNAL:  # it has the number of the next record
                journal.last_seq = max(journal.last_seq, cursor.record_seq - 1)
                if kind == _FREE:
                    acked, dropped = struct.unpack_from("<II", record, cursor.body)
                    journal.acked = max(journal.acked, acked)
                    journal.dropped = max(journal.dropped, dropped)
            else:
                if cursor.record_seq - 1 > max(journal.last_seq, journal.acked):
                    found.damaged += 1
                journal.last_seq = cursor.record_seq
                if kind == _NOTICE and record[cursor.body] == _BAD_SECTOR:
                    # since the header was written, which lists them
                    i = record[cursor.body + 1]
                    if i < len(journal.state) and i not in journal.bad:
                        journal.bad.append(i)


def _written(store, sector, at, limit):
    """(first, behind the last) byte in a part that is not erased; (at, at) if there is none."""
    part = bytearray(64)
    view = memoryview(part)
    begin = end = at
    offset = at
    while offset < limit:
        n = min(64, limit - offset)
        store.read(sector, offset, view[:n])
        if min(view[:n]) < 255:
            for k in range(n):
                if part[k] < 255:
                    if begin == end:
                        begin = offset + k
                    end = offset + k + 1
        offset += n
    return begin, end


def _gaps(journal, found):
    """Notice sectors that have vanished between others, or before them."""
    first, state = journal.first, journal.state
    for kind in (_COMPACT, _LOG):
        lowest = journal.compacted + 1 if kind == _COMPACT else journal.first[journal.head]
        needed = journal.needed(kind)
        for i in range(len(state)):
            if state[i] == kind:
                lowest = min(lowest, first[i])
                last = found.lasts[i]
                end = journal.end(i)
                if last and i != journal.head and last < end and end >= needed:
                    found.damaged += 1
        if lowest > needed and (kind == _LOG or journal.compacted >= needed):
            found.damaged += 1
