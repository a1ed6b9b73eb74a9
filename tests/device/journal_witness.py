"""What a journal was asked to keep, and whether it has: for the sweeps of the journal.

A Witness notes for each record before and after which flash operation it was handed in and
acknowledged, so that every cut of the same run can be judged without running it again.
"""

from firmware.journal import cursor as reading
from firmware.journal import journal as ring
from firmware.journal import recovery

_NEVER = 1 << 29


class Witnessed(ring.Journal):
    """A journal whose every record is noted in `witness`."""

    witness = None

    def append_packed(self, number, body, uptime_s, utc_s=0, quality=0):
        witness = self.witness
        before = len(witness.log)
        row = [0, number, bytes(body), self.boot, uptime_s, utc_s if quality else 0, before, _NEVER]
        witness.rows.append(row)
        row[0] = seq = self.last_seq + self.held() + 1
        found = super().append_packed(number, body, uptime_s, utc_s, quality)
        assert found == seq, "append returned another number"
        assert number & 31 == ring.CHECKPOINT or self.last_seq >= seq, "acknowledged too early"
        assert seq not in witness.by_seq, "a number was used twice"
        witness.by_seq[seq] = row
        witness.settle(self)
        return seq

    def held(self):
        n = at = 0
        while at < self._used:
            n += 1
            at += self._out[at]
        return n


class Witness:
    """`log` is the flash's list of operations. `acks` are [before, after, through]."""

    def __init__(self, log):
        self.log = log
        self.rows = []
        self.by_seq = {}
        self.acks = []
        self.dropped = []  # (before, after, seq)
        self.compacted = 0
        self._settled = 0

    def open(self, store, boot):
        journal = Witnessed(store)
        journal.witness = self
        before = len(self.log)
        recovery.start(journal, boot)
        self.note_dropped(journal, before)
        assert journal.refusal is None, journal.refusal
        return journal

    def settle(self, journal):
        """Records become acknowledged in their order."""
        while self._settled < len(self.rows):
            row = self.rows[self._settled]
            if row[0] > journal.last_seq:
                break
            row[7] = len(self.log)
            self._settled += 1

    def note_dropped(self, journal, before):
        self.compacted = max(self.compacted, journal.compacted)
        if journal.dropped and (not self.dropped or self.dropped[-1][2] != journal.dropped):
            self.dropped.append((before, len(self.log), journal.dropped))

    def changes(self):
        """The operations from which on check() asks for something else than before."""
        found = set()
        for row in self.rows:
            found.update(row[6:8])
        for entry in self.acks + self.dropped:
            found.update(entry[:2])
        return found

    def append(self, journal, kind, values, uptime_s, utc_s=0, quality=0):
        before = len(self.log)
        seq = journal.append(kind, values, uptime_s, utc_s, quality)
        self.note_dropped(journal, before)
        return seq

    def ack(self, journal, through):
        entry = [len(self.log), _NEVER, through]
        self.acks.append(entry)
        why = journal.ack(journal.epoch, through)
        assert why is None, why
        entry[1] = len(self.log)
        self.note_dropped(journal, entry[0])

    def make_room(self, journal):
        before = len(self.log)
        for _ in journal.make_room():
            pass
        self.note_dropped(journal, before)


def read_all(journal, seq):
    """[(seq, number, body, boot, uptime_s, utc_s) or (from, to, why)] from `seq` on."""
    cursor = reading.Cursor(journal, seq)
    rows = []
    steps = 0
    while True:
        what = cursor.step()
        steps += 1
        assert steps < 20000, "the cursor does not come to an end"
        if what == reading.AT_END:
            return rows
        if what == reading.LOST:
            rows.append((cursor.lost_from, cursor.lost_to, cursor.why))
        elif what == reading.RECORD:
            body = bytes(cursor.buffer[cursor.body : cursor.body_end])
            rows.append(
                (
                    cursor.record_seq,
                    cursor.kind | cursor.flag,
                    body,
                    cursor.boot,
                    cursor.uptime_s,
                    cursor.utc_s,
                )
            )


def _session(row):
    """(boot, session) of a record of a session."""
    number = row[1] & 31
    boot = int.from_bytes(row[2][-4:], "little") if number == ring.CLOSED else row[3]
    return boot, int.from_bytes(row[2][:2], "little")


def check(witness, journal, rows, at, cuts=1, harmed=()):
    """`rows` were read after the power was cut in the operation number `at`: are they right?

    `cuts` is how often it was; in `harmed` are records that were damaged at rest, which may be
    missing. AssertionError with a sentence that names the broken promise.
    """
    by_seq = witness.by_seq
    acked_least = acked_most = 0
    for before, after, through in witness.acks:
        if after <= at:
            acked_least = max(acked_least, through)
        if before <= at:
            acked_most = max(acked_most, through)
    if not harmed:
        assert journal.acked >= acked_least, "an ack was forgotten"
    assert journal.acked <= acked_most, "more was acked than the cloud has"
    dropped_most = 0
    for before, _, through in witness.dropped:
        if before <= at:
            dropped_most = through
    full_to = max(dropped_most, journal.dropped if cuts > 1 else 0)

    last_acknowledged = 0
    running = None
    for row in witness.rows:
        if row[7] > at:
            break
        last_acknowledged = max(last_acknowledged, row[0])
        number = row[1] & 31
        if number == ring.START or number == ring.CHECKPOINT:
            running = row
        elif number == ring.END or number == ring.CLOSED:
            running = None
    assert journal.last_seq >= last_acknowledged, "the newest records are gone"

    expected = journal.acked + 1
    burnt = 0
    ends = {}
    newest = 0
    for row in rows:
        if len(row) == 3:
            first, last, why = row
            assert first == expected and last >= first, "a gap that nobody explains"
            expected = last + 1
            for seq in range(first, last + 1):
                known = by_seq.get(seq)
                if known is None or known[7] > at:
                    if why == "Damaged":
                        burnt += 1
                    elif known is None or known[6] > at:
                        # it was never handed in: only one that was torn may be missing
                        assert why == "Full" or seq in harmed, "lost, but never recorded"
                    continue
                if seq in harmed:
                    continue
                if why == "Full":
                    assert seq <= full_to, "given up without need"
                elif why == "Compacted":
                    assert known[1] & 31 == ring.CHECKPOINT, "compaction lost a record"
                    assert running is None or _session(known) != _session(running), (
                        "compaction lost a checkpoint of the session that runs"
                    )
                else:
                    raise AssertionError("an acknowledged record is lost: " + why)
            continue
        seq = row[0]
        assert seq == expected, "numbers are doubled, out of order or missing"
        expected = seq + 1
        known = by_seq.get(seq)
        if known is None or known[6] > at or known[7] > at and tuple(known[:6]) != row:
            # The recovery's own, which may have the number of one that the power cut.
            assert row[1] & 31 in (ring.CLOSED, 15, 1), "a record that nobody wrote"
        else:
            assert tuple(known[:6]) == row, "a record was altered"
        number = row[1] & 31
        if number == ring.END or number == ring.CLOSED:
            session = _session(row)
            if known is None or known[6] > at:
                newest = row
            assert session not in ends, "a session has two ends"
            ends[session] = row
    assert expected == journal.last_seq + 1, "the newest records are not read"
    if not harmed:
        assert burnt <= cuts, "numbers were lost that no record had"
        if running is not None and journal.dropped < running[0]:
            end = ends.get(_session(running))
            assert end, "a session that the power cut was not closed"
            known = by_seq.get(end[0])
            # The cut may have left the end that was being written whole.
            if cuts == 1 and (known is None or tuple(known[:6]) != end):
                assert journal.cut_session, "the start does not say that it closed a session"
            if running[1] & 31 == ring.CHECKPOINT and newest:
                assert end[2][2:14] >= b"" and _wh(end) >= _wh(running), "closed with less energy"
    assert not journal.open_session, "a session is still open after the start"


def _wh(row):
    return int.from_bytes(row[2][6:10], "little")


def sessions(witness, store, cycles, acks, room):
    """Sessions, faults, clock and boots, to fill the ring some times; deterministic.

    `acks(cycle)` says whether the cloud acks then; `room(cycle)` whether the contactor is open long
    enough to erase ahead.
    """
    boot = 1
    journal = witness.open(store, boot)
    uptime = 5
    session = 0
    wh = 1000
    utc = 0
    for cycle in range(cycles):
        if cycle % 7 == 0 and cycle:
            if cycle % 14 == 0:  # the power fails within a session
                session += 1
                journal_start(witness, journal, session, wh, uptime, utc)
                witness.append(journal, "checkpoint", (session, wh + 9, 9, 60, False), uptime + 60)
                journal.flush()
                witness.settle(journal)
            boot += 1
            journal = witness.open(store, boot)
            assert journal.boot == boot
            uptime = 3
            session = utc = 0
            witness.append(journal, "boot", ("power-on", "0.1.0"), uptime)
        if cycle % 7 == 3:
            utc = 850_000_000 + cycle * 10_000
            witness.append(journal, "clock", (), uptime, utc, 2)
        session += 1
        journal_start(witness, journal, session, wh, uptime, utc)
        for n in range(cycle % 5):
            uptime += 900
            witness.append(
                journal,
                "checkpoint",
                (session, wh + 100 * n, 100 * n, 900 * n, n == 2),
                uptime,
                utc,
                2 if utc else 0,
            )
            if n == 2:
                witness.append(journal, "fault", ("Diode", 1), uptime)
        wh += 500
        reason = "EVDisconnected" if cycle % 3 else "SomethingNew"
        witness.append(journal, "session_end", (session, wh, 500, 4000, False, reason), uptime)
        if acks(cycle):
            witness.ack(journal, journal.last_seq - cycle % 3)
        if room(cycle):
            witness.make_room(journal)
    return journal


def journal_start(witness, journal, session, wh, uptime, utc):
    key = b"\x04\xa2\xb3\xc4\xd5\xe6\xf7" if session % 2 else None
    witness.append(
        journal, "session_start", (session, wh, "Key", key), uptime, utc, 2 if utc else 0
    )
