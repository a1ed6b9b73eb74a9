"""A file system that others have filled: what is refused is not recorded, the rest is there."""

import os

import vfs
from journal_flash import Nor
from journal_witness import read_all

from firmware.journal import journal as ring
from firmware.journal import recovery
from firmware.journal.file_store import FileStore


def take_all(leave):
    """Fill the file system up to so many bytes; the file that does it is /full/other."""
    with open("/full/other", "wb") as file:
        file.write(b"x")
    _, size, _, free = os.statvfs("/full")[:4]
    n = free * size - leave
    with open("/full/other", "wb") as file:
        while n > 0:
            try:
                n -= file.write(b"x" * min(200, n))
            except OSError:
                break


def opened(nor, boot):
    vfs.mount(vfs.VfsLfs2(nor), "/full")
    store = FileStore("/full/journal", 9, 512)
    journal = ring.Journal(store)
    recovery.start(journal, boot)
    return journal


def judge(journal, written):
    """Every record that was recorded is there, or is told as given up; nothing else is."""
    expected = 1
    for row in read_all(journal, 1):
        assert row[0] == expected, (row, expected)
        if len(row) == 3:
            expected = row[1] + 1
            assert row[2] in ("Full", "Acked", "Compacted"), row
            for seq in range(row[0], row[1] + 1):
                assert row[2] != "Compacted" or written.get(seq) == "checkpoint", (seq, row)
            continue
        expected += 1
        if row[0] in written:
            number = {"session_start": 3, "checkpoint": 4, "session_end": 5}[written[row[0]]]
            assert row[1] & 31 == number, row
        else:
            assert row[1] & 31 in (ring.CLOSED, 15), (row, "nobody recorded this")
    assert expected == journal.last_seq + 1
    for seq in written:
        assert seq <= journal.last_seq or written[seq] == "checkpoint", "an acknowledged one"


def run(before, leave, acks):
    """Sessions with room, sessions without, sessions with room again, and a start after each."""
    nor = Nor(512, 48)
    vfs.VfsLfs2.mkfs(nor)
    written = {}
    refused = session = boot = 0
    for part in range(3):
        boot += 1
        journal = opened(nor, boot)
        if part == 1:
            take_all(leave)
        if part == 2:
            # A start without room either manages, or says that it does not.
            assert not journal.refusal or "cannot be written" in journal.refusal, journal.refusal
            os.remove("/full/other")
            journal.store.close()
            vfs.umount("/full")
            journal = opened(nor, boot)
        assert not journal.refusal, journal.refusal
        failed = 0
        for turn in range(before if part == 0 else 14):
            session += 1
            for kind, values in (
                ("session_start", (session, 1, "Key", None)),
                ("checkpoint", (session, 2, 1, 60, False)),
                ("checkpoint", (session, 3, 2, 120, False)),
                ("session_end", (session, 4, 3, 180, False, "Local")),
            ):
                newest = journal.last_seq
                try:
                    seq = journal.append(kind, values, turn)
                    assert journal.last_seq >= seq or kind == "checkpoint"
                    assert seq > newest
                    for one in list(written):
                        if one > newest and one >= seq:
                            del written[one]  # a held-back checkpoint that was refused since
                    written[seq] = kind
                except OSError:
                    assert journal.last_seq == newest, "refused, and yet recorded"
                    failed += 1
            steps = 0
            for _ in journal.make_room():
                steps += 1
                assert steps < 200, "room is made without end"
            if acks and turn % 4 == 3:
                try:
                    journal.ack(journal.epoch, max(0, journal.last_seq - 9))
                except OSError:
                    failed += 1
        assert not failed or part == 1, "refused though there was room"
        refused += failed
        judge(journal, written)
        for seq in list(written):
            if seq > journal.last_seq:
                del written[seq]  # held back, and the power goes
        journal.store.close()
        vfs.umount("/full")
    return refused, journal.dropped


refused = dropped = runs = 0
for leave in (0, 512, 1024, 2048, 4096):
    for before in (0, 3, 4, 8, 9, 20, 21):
        # A journal that has nothing to give up yet must refuse.
        some, lost = run(before, leave, runs % 2)
        refused += some
        dropped += lost
        runs += 1
print("runs", runs, "refused", refused, "dropped", dropped)
assert refused and dropped, "the file system was never full"
assert refused < 50, "refused although the journal's oldest file could have made room"
