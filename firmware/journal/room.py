"""Room in the ring: erasing ahead, compaction, and giving up the oldest. Loaded when needed.

Compaction writes what is worth keeping of the oldest sectors into one: everything but checkpoints
of sessions that have ended. Those sectors are freed only when the new one is complete. When there
is nothing left to compact, the oldest sector is given up: readers get its range as lost.
"""

import struct
from binascii import crc32

from micropython import const

from firmware.briefly import briefly
from firmware.journal import journal as ring

_HEADER = const(48)
_FOOTER = const(8)
_LONGEST = const(96)
_JUNK = const(0)
_READY = const(1)
_LOG = const(2)
_COMPACT = const(3)
_MAKING = const(4)
_CHECKPOINT = const(4)
_GAP = const(30)
_COPIED_AT_ONCE = const(4)
_TURN = "firmware.journal.turn"


def making(journal):
    """Steps until enough sectors are erased."""
    while journal.stock() < journal.ahead:
        i = journal.spare()
        if i >= 0:
            erase(journal, i)
            yield
        elif not (yield from compacting(journal)):
            # Full. One for compaction and one for the next record is all that is worth a loss.
            if journal.stock() >= 2 or not give_up(journal):
                return
            if not journal.noted:
                # Its header says it.
                briefly(_TURN).next_sector(journal, journal.acked)


def make_one(journal):
    """An erased sector, at once and whatever it takes; OSError if there is none to be had."""
    if journal.making >= 0:
        journal.state[journal.making] = _JUNK  # a compaction that waits for its turn sees it
        journal.making = -1
    for _ in range(4 * len(journal.state)):
        i = journal.spare()
        stock = journal.stock()
        if stock > 1 or stock and i >= 0:
            break
        if i >= 0:
            erase(journal, i)
            continue
        steps = compacting(journal)
        try:
            while True:
                next(steps)
        except StopIteration as e:
            if not e.value and not give_up(journal):
                break
    for i in range(len(journal.state)):
        i = (journal.head + 1 + i) % len(journal.state)
        if journal.state[i] == _READY:
            return i
    raise OSError("no sector of the journal's flash can be written")


def make_space(journal):
    """Remove the oldest sector, waiting for an ack or not; False if there is none."""
    i = journal.spare()
    while i >= 0 and journal.store.blank(i):
        journal.state[i] = _READY
        i = journal.spare()
    if i < 0:
        give_up(journal)
        i = journal.spare()
    if i < 0 or not erase(journal, i):
        return False
    if not journal.noted:
        _note(journal)
    return True


def _note(journal):
    # If there is no room for this, the next header says it. After a cut between an erase and that,
    # the range is lost all the same, and only the reason is not known.
    journal.noted = journal.note(ring.FREE, struct.pack("<II", journal.acked, journal.dropped))


def erase(journal, i):
    """Erase the sector `i` unless it is blank; False, and it is not used again, if it refuses."""
    journal.layout += 1
    journal.state[i] = _JUNK
    good = journal.store.blank(i)
    if not good:
        journal.erases += 1
        good = journal.store.erase(i)
    if good:
        journal.state[i] = _READY
    else:
        journal.spoil(i)
    return good


def give_up(journal):
    """Drop the oldest sector that waits for an ack, to be erased; False if there is none."""
    for kind in (_COMPACT, _LOG):
        i = journal.oldest(kind)
        if i >= 0 and i not in (journal.head, journal.previous):
            journal.dropped = journal.end(i)
            _note(journal)
            journal.layout += 1
            if not journal.full:
                journal.full = True
                journal.alarms.append(("RecordsLost", journal.dropped))
            return True
    return False


def _finished(journal, cursor):
    """True if the record is a checkpoint of a session that has ended."""
    if cursor.kind != _CHECKPOINT:
        return False
    if not journal.open_session:
        return True
    carry = journal.carry
    return (
        cursor.boot != struct.unpack_from("<I", carry, 0)[0]
        or cursor.buffer[cursor.body : cursor.body + 2] != carry[4:6]
    )


def _worthwhile(journal, start, stop):
    """Steps whose value says if compaction would fill a sector, or take in many."""
    sources = 0
    for i in range(len(journal.state)):
        sources += journal.state[i] == _LOG and start <= journal.first[i] < stop
    if sources >= max(3, len(journal.state) // 8):
        return True
    if sources < 2:
        return False
    reading = briefly("firmware.journal.cursor")
    cursor = reading.Cursor(journal, start)
    room = journal.store.size - _HEADER - _FOOTER
    while room >= 0:
        what = cursor.step()
        if what == reading.AT_END or cursor.seq > stop:
            return False
        if what == reading.RECORD and not _finished(journal, cursor):
            room -= cursor.body_end + 4 - cursor.at
        if what == reading.AGAIN:
            yield True
    return True


def compacting(journal):
    """Steps of one compaction; their value is False if there is nothing worth compacting."""
    start = max(journal.compacted, journal.acked, journal.dropped) + 1
    stop = journal.first[journal.previous] if journal.previous >= 0 else 0
    if start >= stop or not (yield from _worthwhile(journal, start, stop)):
        return False
    into = -1
    for i in range(len(journal.state)):
        if journal.state[i] == _READY:
            into = i
    if into < 0:
        return False
    reading = briefly("firmware.journal.cursor")
    cursor = reading.Cursor(journal, start)
    record = bytearray(_LONGEST)
    view = memoryview(record)
    salt = boot = copied = 0
    offset = _HEADER
    journal.making = into
    journal.state[into] = _MAKING
    store = journal.store
    try:
        while True:
            before = cursor.seq
            what = cursor.step()
            n = 0
            if what == reading.AT_END or before >= stop:
                break
            if what == reading.LOST:
                if cursor.lost_to >= stop:
                    cursor.lost_to = stop - 1
                if cursor.why == "Damaged":
                    n = 17
                    seq = cursor.lost_to
                    view[:n] = bytes(n)
                    record[1] = _GAP
                    struct.pack_into("<I", record, 9, cursor.lost_from)
            elif what == reading.RECORD:
                seq = cursor.record_seq
                if seq >= stop:
                    break
                if not _finished(journal, cursor):
                    n = cursor.body_end + 4 - cursor.at
                    view[:n] = memoryview(cursor.buffer)[cursor.at : cursor.at + n]
            if n:
                if not salt:
                    boot = cursor.boot if record[1] != _GAP else cursor.base_boot
                    salt = briefly(_TURN).begin(journal, into, 1, start, boot, journal.acked)
                record[0] = n
                in_boot = cursor.boot - boot if record[1] != _GAP else 0
                if (
                    not salt
                    or offset + n > store.size - _FOOTER
                    or seq - start > 65535
                    or not 0 <= in_boot < 256
                ):
                    cursor.seq = before
                    break
                struct.pack_into("<HB", record, 2, seq - start, in_boot)
                struct.pack_into("<I", record, n - 4, crc32(view[: n - 4], salt))
                if not store.program(into, offset, view[:n], False):
                    salt = 0
                    break
                offset += n
                copied += 1
            if what == reading.AGAIN or not copied % _COPIED_AT_ONCE:
                yield True
                if journal.making != into:
                    return True  # somebody could not wait and made room at once
    finally:
        if journal.making == into:
            journal.making = -1
            journal.state[into] = _JUNK
    through = min(cursor.seq, stop) - 1
    if through < start:
        return False
    if offset == _HEADER:
        salt = briefly(_TURN).begin(journal, into, 1, start, journal.boot, journal.acked)
    if not salt or not briefly(_TURN).close(journal, into, salt, through):
        journal.spoil(into)
        return journal.store.wears  # a full file system would refuse the next one as well
    journal.state[into] = _COMPACT
    journal.first[into] = start
    journal.compacted = through
    journal.layout += 1
    return True
