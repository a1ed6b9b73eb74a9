"""Readers: pages of sessions, cursors while the journal changes, acks, and bad input.

Argument: a seed.
"""

import random
import sys

from journal_flash import Nor
from journal_witness import Witness, read_all, sessions

from firmware.journal import cursor as reading
from firmware.journal import fields, recovery
from firmware.journal import journal as ring
from firmware.journal.raw_store import RawStore
from firmware.journal.sessions import sessions as newest_first

print("seed", sys.argv[1])
random.seed(int(sys.argv[1]))


def raises(call, *arguments):
    try:
        call(*arguments)
    except ValueError as e:
        return str(e)
    raise AssertionError("accepted")


def fresh(size=512, sectors=9):
    nor = Nor(size, sectors)
    journal = ring.Journal(RawStore(nor))
    recovery.start(journal, 1)
    return nor, journal


def expected_sessions(rows):
    """{(boot, session): (start row or None, end row or None)} of read_all's rows."""
    found = {}
    for row in rows:
        if len(row) == 3 or row[1] & 31 not in (ring.START, ring.END, ring.CLOSED):
            continue
        boot = int.from_bytes(row[2][-4:], "little") if row[1] & 31 == ring.CLOSED else row[3]
        key = boot, int.from_bytes(row[2][:2], "little")
        pair = found.setdefault(key, [None, None])
        pair[row[1] & 31 != ring.START] = row
    return found


def pages(journal, size):
    listed = []
    before = None
    while True:
        page = []
        for session in newest_first(journal, before):
            if session:
                page.append(session)
                if len(page) == size:
                    break
        if not page:
            return listed
        listed += page
        before = page[-1]["seq"]


def paging():
    for cycles, ack_at in ((12, -1), (30, 20), (64, 60), (64, -1)):
        nor = Nor(512, 9)
        nor.log = []
        journal = sessions(
            Witness(nor.log), RawStore(nor), cycles, lambda n: n == ack_at, lambda n: n % 3
        )
        all_rows = read_all(journal, 1)
        want = expected_sessions(all_rows)
        for size in (1, 4, 1000):
            got = pages(journal, size)
            names = [(one["boot"], one["session"]) for one in got]
            assert sorted(names) == sorted(want), (cycles, size, names, sorted(want))
            seqs = [one["seq"] for one in got]
            assert seqs == sorted(seqs, reverse=True)
            for one in got:
                start, end = want[(one["boot"], one["session"])]
                assert (one["how"] is None) == (start is None)
                assert (one["reason"] is None) == (end is None)
                assert one["acked"] == (one["seq"] <= journal.acked)
                if end:
                    assert one["energy_wh"] == int.from_bytes(end[2][6:10], "little")


def while_it_changes():
    """A slow cursor sees every record once and in order, whatever happens between its steps."""
    for _ in range(4):
        nor, journal = fresh()
        written = {}
        cursor = reading.Cursor(journal, 1)
        backwards = None
        seen = session = 0
        room = None
        for turn in range(4000):
            what = random.getrandbits(8) % 16
            if what < 3:
                session += 1
                for kind, values in (
                    ("session_start", (session, 1, "Key", None)),
                    ("checkpoint", (session, 2, 1, 60, False)),
                    ("checkpoint", (session, 3, 2, 120, False)),
                    ("session_end", (session, 4, 3, 180, False, "Local")),
                ):
                    written[journal.append(kind, values, turn)] = kind
            elif what == 3:
                journal.ack(journal.epoch, max(0, seen - random.getrandbits(6)))
            elif what < 6:
                room = room or journal.make_room()
                try:
                    next(room)
                except StopIteration:
                    room = None
            elif what < 8:
                backwards = backwards or newest_first(journal)
                try:
                    next(backwards)
                except StopIteration:
                    backwards = None
            else:
                if random.getrandbits(2) == 0:  # another one goes on
                    place = cursor.place()
                    cursor = reading.Cursor(journal, place[0])
                    cursor.go_to(place)
                before = cursor.seq
                found = cursor.step()
                if found == reading.RECORD:
                    assert cursor.record_seq == before
                    if before in written:
                        kind = fields.unpack(cursor)["kind"]
                        assert kind == written[before]
                    seen = before
                elif found == reading.LOST:
                    assert cursor.lost_from == before and cursor.lost_to == cursor.seq - 1
                    assert cursor.why in ("Full", "Compacted", "Acked"), cursor.why
                    seen = cursor.lost_to
                else:
                    assert cursor.seq == before
        assert seen > 1000, seen


def bounded():
    """No step reads much, wherever it begins."""
    nor, journal = fresh(4096, 16)
    for n in range(1500):
        journal.append("fault", ("Diode", n), n)
    most = 0
    for seq in range(1, journal.last_seq, 37):
        cursor = reading.Cursor(journal, seq)
        while True:
            before = nor.bytes_read
            what = cursor.step()
            most = max(most, nor.bytes_read - before)
            if what in (reading.RECORD, reading.AT_END):
                break
    print("most bytes of a step", most)
    assert most <= 1024
    # Who goes on where another one stood does not search, however far that is into its sector.
    cursor = reading.Cursor(journal, 1)
    for seq in range(1, 1500):
        while True:
            place = cursor.place()
            cursor = reading.Cursor(journal, place[0])
            cursor.go_to(place)
            before = nor.bytes_read
            if cursor.step() == reading.RECORD:
                assert cursor.record_seq == seq and nor.bytes_read - before <= 2 * 96
                break


def bad_input():
    nor, journal = fresh()
    kept = bytes(nor.data)
    raises(journal.append, "nonsense", (), 1)
    raises(journal.append, "online", (1,), 1)
    raises(journal.append, "session_start", (1, 2, "Key", b"12345678901"), 1)
    raises(journal.append, "session_start", (-1, 2, "Key", None), 1)
    raises(journal.append, "checkpoint", ("1", 2, 3, 4, False), 1)
    raises(journal.append, "boot", ("x" * 33, ""), 1)
    assert nor.data == kept
    assert journal.ack(journal.epoch + 1, 1) and journal.ack(journal.epoch, 2)
    assert journal.acked == 0 and nor.data == kept
    assert journal.ack(journal.epoch, 1) is None and journal.acked == 1
    assert journal.ack(journal.epoch, 0) is None and journal.acked == 1
    # every kind there and back, known codes in a byte, others as they are
    rows = (
        ("boot", ("power-on", "1.2.3")),
        ("clock", ()),
        ("session_start", (65535, 4294967295, "", None)),
        ("session_start", (70000, 1 << 33, "Key", b"\x01\x02")),
        ("checkpoint", (1, 2, 3, 4, True)),
        ("session_end", (1, 2, 3, 4, True, "Unheard of")),
        ("fault", ("Diode", 3)),
        ("fault_cleared", ("a|b", 3)),
        ("unlock", ("Page",)),
        ("settings", ("wifi_ssid,pin", "Page")),
        ("security", ("LoginFailed", "Page", 3)),
        ("online", ()),
        ("offline", ("TimeOut",)),
        ("events_lost", (7, "")),
        ("notice", ("BadSector", 3)),
    )
    cursor = reading.Cursor(journal, 2)
    for n, (kind, values) in enumerate(rows):
        seq = journal.append(kind, values, n, 900_000_000 + n, n % 4)
        while cursor.step() != reading.RECORD:
            pass
        record = fields.unpack(cursor)
        assert record["kind"] == kind and record["seq"] == seq and record["uptime_s"] == n
        assert record["utc_s"] == (900_000_000 + n if n % 4 else None), record
        for value in values:
            if isinstance(value, int):
                value = min(value, 4294967295 if value > 1 << 32 else value)
                value = 65535 if value == 70000 else value
            assert value in record.values(), (record, value)
        assert "raw" not in record
    assert {row.split(" ")[0] for row in fields.KINDS.split(";")} >= {kind for kind, _ in rows}


bad_input()
bounded()
paging()
while_it_changes()
