"""A ring that nobody acks: overfilled by ten times; and how many whole sessions it holds.

Arguments: "over", or "holds" with the number of sectors of 4096 bytes, or "files" with a folder for
the files of a board without a partition; then the number of sessions that are recorded, and of the
newest of them that must be whole.
"""

import sys

from journal_flash import Nor
from journal_witness import Witness, read_all

from firmware.journal import journal as ring
from firmware.journal import recovery
from firmware.journal.file_store import FileStore
from firmware.journal.raw_store import RawStore


def one_session(append, number, uptime):
    wh = 5000 * number & 0xFFFFFFF
    key = bytes((4, number & 255, number >> 8, 1, 2, 3, 4))
    append("session_start", (number, wh, "Key", key), uptime, 800_000_000 + uptime, 2)
    for n in range(1, 9):
        values = (number, wh + 500 * n, 500 * n, 900 * n, False)
        append("checkpoint", values, uptime + 900 * n, 800_000_000 + uptime + 900 * n, 2)
    values = (number, wh + 4500, 4500, 8000, False, "EVDisconnected")
    append("session_end", values, uptime + 8000, 800_000_000 + uptime + 8000, 2)


def over():
    """Ten times what fits: exact ranges, and the newest sessions are all there."""
    nor = Nor(1024, 12)
    nor.log = []
    witness = Witness(nor.log)
    journal = witness.open(RawStore(nor), 1)
    number = 0
    worst = 0
    while journal.last_seq < 10 * journal.capacity():
        number += 1
        one_session(lambda *values: witness.append(journal, *values), number, number * 9000)
        if number % 3 == 0:
            witness.make_room(journal)
        if number % 50 == 0:
            journal = witness.open(RawStore(nor), journal.boot + 1)
        worst = max(worst, journal.percent_full())
    assert worst >= 80
    rows = read_all(journal, 1)
    assert rows[0] == (1, journal.dropped, "Full"), rows[0]
    expected = journal.dropped + 1
    whole = {}
    for row in rows[1:]:
        if len(row) == 3:
            first, last, why = row
            assert first == expected and why == "Compacted", row
            for seq in range(first, last + 1):
                assert witness.by_seq[seq][1] == ring.CHECKPOINT, (
                    "more than checkpoints was dropped"
                )
            expected = last + 1
            continue
        assert row[0] == expected and tuple(witness.by_seq[expected][:6]) == row
        expected += 1
        if row[1] in (ring.START, ring.END):
            session = row[3], int.from_bytes(row[2][:2], "little")
            whole[session] = whole.get(session, 0) + 1
    assert expected == journal.last_seq + 1
    newest = [whole.get((1 + (n - 1) // 50, n), 0) for n in range(1, number + 1)]
    kept = 0
    while kept < len(newest) and newest[-1 - kept] == 2:
        kept += 1
    room = (12 - 4 - 3) * (1024 - 56) // 64  # whole sessions without checkpoints
    print("sessions", number, "kept whole", kept, "room", room, "dropped", journal.dropped)
    assert sum([n == 2 for n in newest]) == kept, "a session is missing between others"
    assert kept > room * 8 // 10
    alarms = [row for row in witness.rows if row[1] == 15]
    assert len(alarms) > 2


def holds(open_store, sessions, least):
    """The newest sessions, with 8 checkpoints each, are there and complete."""
    journal = ring.Journal(open_store())
    recovery.start(journal, 1)
    whole_at = 0
    for number in range(1, sessions + 1):
        one_session(journal.append, number, number * 9000)
        if number % 4 == 0:
            for _ in journal.make_room():
                pass
        if not journal.dropped:
            whole_at = number
    if sys.argv[1] == "files":
        journal.store.close()
    journal = ring.Journal(open_store())
    recovery.start(journal, 2)
    print("percent", journal.percent_full())
    counts = [0] * (sessions + 1)
    for row in read_all(journal, 1):
        if len(row) != 3 and row[1] in (ring.START, ring.END):
            counts[int.from_bytes(row[2][:2], "little")] += 1
    whole = 0
    while whole < sessions and counts[sessions - whole] == 2:
        whole += 1
    print("sessions", sessions, "before the first is lost", whole_at, "kept whole", whole)
    assert whole >= least and whole_at >= least


if sys.argv[1] == "over":
    over()
elif sys.argv[1] == "files":
    holds(lambda: FileStore(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
else:
    nor = Nor(4096, int(sys.argv[2]))
    holds(lambda: RawStore(nor), int(sys.argv[3]), int(sys.argv[4]))
