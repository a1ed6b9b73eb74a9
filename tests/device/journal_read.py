"""Readers: pages of sessions, cursors while the journal changes, acks, and bad input.

Argument: a seed.
"""

import random
import sys

import vfs
from journal_flash import DAMAGES, Nor, damaged, do
from journal_witness import Witness, read_all, sessions

from firmware.journal import cursor as reading
from firmware.journal import fields, recovery
from firmware.journal import journal as ring
from firmware.journal.file_store import FileStore
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


class Batches:
    """A ring that is read in batches, each from where the last one ended, while it changes.

    After each batch a cursor that has to look for the place itself reads the same once more.
    """

    def __init__(self, files):
        self.files = files
        self.nor = Nor(512, 64 if files else 9)
        if files:
            vfs.VfsLfs2.mkfs(self.nor)
            vfs.mount(vfs.VfsLfs2(self.nor), "/batches")
        self.written = {}
        self.open(1)
        self.following = 1
        self.session = self.turn = self.layout = 0
        self.placed = self.moved = self.records = self.cuts = self.flips = 0
        self.lost = {}

    def open(self, boot):
        store = FileStore("/batches/journal", 9, 512) if self.files else RawStore(self.nor)
        self.journal = ring.Journal(store)
        recovery.start(self.journal, boot)
        assert not self.journal.refusal, self.journal.refusal
        self.place = None
        self.room = None

    def record(self):
        self.session += 1
        number = self.session & 0xFFFF
        for kind, values in (
            ("session_start", (number, 1, "Key", None)),
            ("checkpoint", (number, 2, 1, 60, False)),
            ("checkpoint", (number, 3, 2, 120, False)),
            ("session_end", (number, 4, 3, 180, False, "Local")),
        ):
            if kind != "checkpoint" or random.getrandbits(1):
                self.written[self.journal.append(kind, values, self.turn)] = kind, number

    def make_room(self):
        self.room = self.room or self.journal.make_room()
        for _ in range(1 + random.getrandbits(3)):
            try:
                next(self.room)
            except StopIteration:
                self.room = None
                break

    def cut(self):
        """The power fails in one of the operations that a session or an ack needs."""
        nor = self.nor
        before = bytearray(nor.data)
        nor.log = []
        if random.getrandbits(2):
            self.record()
        else:
            self.journal.ack(self.journal.epoch, self.journal.last_seq)
        if not nor.log:
            return
        at = random.randrange(len(nor.log))
        for operation in nor.log[:at]:
            do(before, operation, 512)
        damage = DAMAGES[random.randrange(len(DAMAGES))]
        damaged(before, nor.log[at], damage, 512, random.getrandbits(12))
        for seq in list(self.written):
            if seq >= self.following and self.written[seq][1] == self.session & 0xFFFF:
                del self.written[seq]  # it may be there or not
        self.nor = Nor(512, 9, before)
        self.open(self.journal.boot + 1)
        self.cuts += 1

    def flip(self):
        """A bit changes at rest, in a sector that is complete."""
        i = random.randrange(9)
        if self.journal.state[i] in (ring.LOG, ring.COMPACT) and i != self.journal.head:
            self.nor.data[i * 512 + random.randrange(512)] ^= 1 << random.getrandbits(3)
            self.flips += 1

    def take(self, cursor, most):
        taken = []
        steps = 0
        while len(taken) < most:
            what = cursor.step()
            steps += 1
            assert steps < 2000, "the cursor does not come to an end"
            if what == reading.AT_END:
                break
            if what == reading.LOST:
                taken.append((cursor.lost_from, cursor.lost_to, cursor.why))
            elif what == reading.RECORD:
                taken.append(fields.unpack(cursor))
        return taken

    def batch(self):
        cursor = reading.Cursor(self.journal, self.following)
        if self.place:
            assert self.place[0] == self.following
            cursor.go_to(self.place)
            self.placed += 1
            self.moved += self.layout != self.journal.layout
        most = 1 + random.getrandbits(4)
        taken = self.take(cursor, most)
        again = self.take(reading.Cursor(self.journal, self.following), most)
        assert taken == again, (taken, again)
        for row in taken:
            if isinstance(row, tuple):
                first, last, why = row
                assert first == self.following and last >= first, row
                self.lost[why] = self.lost.get(why, 0) + 1
                self.following = last + 1
                continue
            assert row["seq"] == self.following, (row, self.following)
            self.following += 1
            if row["seq"] in self.written:
                assert self.written[row["seq"]] == (row["kind"], row["session"]), row
                self.records += 1
        self.place = cursor.place()
        self.layout = self.journal.layout


def batches(files, harm):
    ring_in = Batches(files)
    for turn in range(1500):
        ring_in.turn = turn
        for _ in range(random.getrandbits(2)):
            what = random.getrandbits(8) % 16
            if what < 6:
                ring_in.record()
            elif what < 9:
                ring_in.make_room()
            elif what < 12:
                # What was read, or a part of it, or more; half of the time nothing: it fills.
                journal = ring_in.journal
                through = ring_in.following - 1 - random.getrandbits(4)
                if turn % 600 < 300 and turn % 5 == 0:
                    journal.ack(journal.epoch, max(0, through if turn % 3 else journal.last_seq))
            elif harm and what == 12:
                ring_in.cut()
            elif harm and what == 13 and random.getrandbits(2) == 0:
                ring_in.flip()
        if turn % 300 < 150 or random.getrandbits(5) == 0:  # or the ring goes round meanwhile
            ring_in.batch()
    print(
        *("placed", ring_in.placed, "moved", ring_in.moved, "records", ring_in.records),
        *("cuts", ring_in.cuts, "flips", ring_in.flips, "lost", ring_in.lost),
    )
    assert ring_in.placed > 300 and ring_in.moved > 50 and ring_in.records > 500
    if files:
        ring_in.journal.store.close()
        vfs.umount("/batches")
    return set(ring_in.lost)


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


def quiet():
    """A start with nothing to put right, and readers, write nothing: no cut can harm them."""
    for files in (False, True):
        nor = Nor(512, 64 if files else 9)
        nor.log = []
        if files:
            vfs.VfsLfs2.mkfs(nor)
            vfs.mount(vfs.VfsLfs2(nor), "/quiet")
        store = FileStore("/quiet/journal", 9, 512) if files else RawStore(nor)
        journal = sessions(Witness(nor.log), store, 30, lambda n: n == 9, lambda n: n % 3)
        if files:
            store.close()
            store = FileStore("/quiet/journal", 9, 512)
        nor.log = []
        boot = journal.boot + 1
        journal = ring.Journal(store)
        recovery.start(journal, boot)
        assert journal.last_seq > 100 and len(read_all(journal, 1)) > 50
        assert [one for one in newest_first(journal) if one]
        if files:
            store.close()
            vfs.umount("/quiet")
        assert not nor.log, (files, len(nor.log), "operations")


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
quiet()
paging()
while_it_changes()
lost = batches(False, False) | batches(False, True) | batches(True, False)
assert lost == {"Acked", "Compacted", "Full", "Damaged"}, (lost, "not all that may vanish did")
