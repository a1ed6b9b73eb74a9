"""Records that lack only their last bytes, where the next one begins with just these.

A record that the power tore must not become whole, at the price of the one behind it, by what is
written after it. That takes a checksum which happens to end so: here it is looked for.
"""

import struct
from binascii import crc32

from journal_flash import Nor, program
from journal_witness import read_all

from firmware.journal import journal as ring
from firmware.journal import packing, recovery
from firmware.journal.raw_store import RawStore


def opened(nor):
    journal = ring.Journal(RawStore(nor))
    recovery.start(journal, 1)
    assert not journal.refusal, journal.refusal
    return journal


def torn(nor, journal, kind, values, tail):
    """Record that, so that its last bytes are `tail`, which the power cut keeps from the flash."""
    number, body = packing.pack(kind, values)
    seq = journal.last_seq + 1 - journal.first[journal.head]
    boot = journal.boot - journal.base_boot
    for uptime_s in range(1 << 20):
        record = struct.pack("<BBHBI", 13 + len(body), number, seq, boot, uptime_s) + body
        if struct.pack("<I", crc32(record, journal.salt))[-len(tail) :] == tail:
            break
    before = bytes(nor.data)
    nor.log = []
    journal.append(kind, values, uptime_s)
    at, written = nor.log[-1]
    assert len(nor.log) == 1 and written[-len(tail) :] == tail, "written otherwise than expected"
    nor.data[:] = before
    program(nor.data, at, written, len(written) - len(tail))
    nor.log = None


def numbers(journal):
    """{seq: kind} of the records, without what is lost."""
    return {row[0]: row[1] & 31 for row in read_all(journal, 1) if len(row) > 3}


def check(times, before, kind, values, tail, after):
    """Tear a record, after others; start; record something; it must be there.

    `times`: two such cuts, the second record behind the remains of the first. `after` None: what
    the start itself records must be there, the end of the session.
    """
    nor = Nor(512, 9)
    journal = opened(nor)
    for row in before:
        journal.append(*row)
    expected = numbers(journal)
    for _ in range(times):
        torn(nor, journal, kind, values, tail)
        journal = opened(nor)
    if after:
        expected[journal.append(*after)] = packing.pack(*after[:2])[0]
    else:
        expected[journal.last_seq] = ring.CLOSED
    assert numbers(opened(nor)) == expected, (times, kind, tail, "a record is gone, or came back")


online = packing.pack("online", ())[0]
for tail in (b"\x0d", bytes((13, online))):
    for times in (1, 2, 3):
        check(times, [("online", (), 1)], "online", (), tail, ("online", (), 9))
start = ("session_start", (1, 5, "Key", None), 3)
closed = 13 + 14 + 1 + 4
check(1, [start], "session_end", (1, 5, 0, 60, False, "Local"), bytes((closed,)), None)
