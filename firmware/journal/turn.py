"""The turn from one sector of the ring to the next: their headers and footers.

Loaded when a sector is full, and while sectors are compacted. What is promised stands in
journal.py.
"""

import struct
from binascii import crc32

from micropython import const

from firmware.briefly import briefly
from firmware.journal import journal as ring

_HEADER = const(48)
_FOOTER = const(8)
_JUNK = const(0)
_READY = const(1)
_LOG = const(2)
_CARRY = const(29)
_BAD_KEPT = const(12)
_HEADER_FORMAT = "<2sBBIIIIIIHH"


def next_sector(journal, acked):
    """Go on in another sector. First its header, then the old one's end, then records."""
    full = False
    while True:
        head = _take(journal)
        salt = begin(journal, head, 0, journal.last_seq + 1, journal.boot, acked)
        if salt:
            break
        if not journal.store.wears:
            reclaim(journal, full)
            full = True
    first = journal.last_seq + 1
    old = journal.head
    journal.state[head] = _LOG
    journal.first[head] = first
    journal.head = head
    journal.base_boot = journal.boot
    journal.offset = _HEADER
    journal.layout += 1
    if old >= 0:
        if journal.first[old] == first:
            journal.state[old] = _JUNK  # nothing came to be recorded in it
        else:
            close(journal, old, journal.salt, first - 1)
            journal.previous = old
    journal.salt = salt
    if journal.open_session:
        journal.note(_CARRY, journal.carry)
    percent = journal.percent_full()
    if percent >= 80 and not journal.warned:
        journal.warned = True
        journal.alarms.append(("JournalFull", percent))
    elif percent < 60:
        journal.warned = journal.full = False


def begin(journal, i, flags, first, boot, acked):
    """Write the header of the erased sector `i`; its CRC, or 0 if the sector refuses."""
    header = bytearray(_HEADER)
    store = journal.store
    journal.serial += 1
    struct.pack_into(
        _HEADER_FORMAT,
        header,
        0,
        b"HJ",
        ring.VERSION,
        flags | journal.open_session << 1,
        journal.epoch,
        journal.serial,
        first,
        boot,
        acked,
        journal.dropped,
        store.size,
        store.sectors,
    )
    for at in range(_BAD_KEPT):
        header[32 + at] = journal.bad[at] if at < len(journal.bad) else 255
    salt = crc32(memoryview(header)[:-4])
    struct.pack_into("<I", header, 44, salt)
    if store.program(i, 0, header, not flags):
        return salt
    journal.spoil(i)
    return 0


def close(journal, i, salt, last):
    """Write down that the sector `i` is complete, and its last seq."""
    footer = bytearray(_FOOTER)
    struct.pack_into("<I", footer, 0, last)
    struct.pack_into("<I", footer, 4, crc32(memoryview(footer)[:4], salt))
    return journal.store.program(i, journal.store.size - _FOOTER, footer)


def _take(journal):
    """An erased sector for the head. In a full ring the last one is kept for compaction."""
    found = -1
    stock = 0
    for i in range(len(journal.state)):
        i = (journal.head + 1 + i) % len(journal.state)
        if journal.state[i] == _READY:
            stock += 1
            if found < 0:
                found = i
    if stock > 1 or found >= 0 and journal.spare() >= 0:
        return found
    return briefly("firmware.journal.room").make_one(journal)


def reclaim(journal, again):
    """Other files have taken the room: once, the oldest sector makes some. Or else OSError."""
    if again or not journal.store.full or not briefly("firmware.journal.room").make_space(journal):
        raise OSError("the file system has no room for the journal, or refuses it")
