"""Cut the power in the flash operations of a run that overfills the ring; check every promise.

Arguments: "raw" or "files" (on LittleFS), the stride between operations that are cut, the first of
them, every how many cuts a second one follows at every operation of the recovery (0: never), and a
seed that moves the bits.
"""

import sys

import vfs
from journal_flash import DAMAGES, Nor, damaged, do
from journal_witness import Witness, check, read_all, sessions

from firmware.journal import journal as ring
from firmware.journal import recovery
from firmware.journal.file_store import FileStore
from firmware.journal.raw_store import RawStore

SIZE = 512
SECTORS = 9
FILES = sys.argv[1] == "files"
BLOCKS = 48 if FILES else SECTORS
stride, first, second, seed = [int(word) for word in sys.argv[2:6]]


def run():
    """The whole scenario, once: no acks first, so that it overfills; then acks now and then."""
    nor = Nor(SIZE, BLOCKS)
    if FILES:
        vfs.VfsLfs2.mkfs(nor)
    before = bytearray(nor.data)
    nor.log = []
    witness = Witness(nor.log)
    journal = sessions(
        witness,
        store_on(nor),
        64,
        lambda cycle: cycle > 40 and cycle % 5 == 0,
        lambda cycle: cycle % 9 < 6,
    )
    print("dropped", journal.dropped, "compacted", witness.compacted)
    return nor, before, witness


def store_on(nor):
    """The store in a flash; LittleFS is mounted anew."""
    global mounted
    if not FILES:
        return RawStore(nor)
    if mounted:
        mounted.close()  # a file left to the collector would be closed with the heap locked
        vfs.umount("/cut")
    vfs.mount(vfs.VfsLfs2(nor), "/cut")
    mounted = FileStore("/cut/journal", SECTORS, SIZE)
    return mounted


mounted = None


def opened(data):
    nor = Nor(SIZE, BLOCKS, data)
    return nor, ring.Journal(store_on(nor))


def go_on(data, rows, journal, number):
    """What was read is read again after more was recorded, room was made and power came back."""
    nor, journal = opened(data)
    recovery.start(journal, 1)
    again = read_all(journal, journal.acked + 1)
    assert again == rows, "the second start reads something else than the first"
    assert not journal.cut_session, "a session was closed twice"
    seq = journal.append("session_start", (1, 5, "Open", None), 1)
    journal.append("session_end", (1, 6, 1, 60, False, "Local"), 60)
    if number % 2:
        for _ in journal.make_room():
            pass
    nor, journal = opened(data)
    recovery.start(journal, 1)
    now = read_all(journal, journal.acked + 1)
    assert seq in [row[0] for row in now if len(row) != 3], "a record after the cut is gone"
    kept = set(now)
    lost = set()
    for row in now:
        if len(row) == 3 and row[2] != "Damaged":
            lost.update(range(row[0], row[1] + 1))
    for row in rows:
        if len(row) != 3:
            assert row in kept or row[0] in lost, "a record is gone after going on"


def main():
    nor, before, witness = run()
    log = nor.log
    print("operations", len(log), "erases", nor.erases, "records", len(witness.rows))
    cuts = seconds = 0
    for at in range(len(log)):
        if at % stride == first:
            for damage in DAMAGES:
                data = bytearray(before)
                if not damaged(data, log[at], damage, SIZE, at + seed):
                    continue
                cuts += 1
                here = f"cut {at} of {len(log)} ({damage}, seed {seed})"
                again = cuts % second == 0 if second else False
                image = bytearray(data) if again else None
                try:
                    nor, journal = opened(data)
                    if again:
                        nor.log = []
                    recovery.start(journal, 1)
                    assert journal.refusal is None, journal.refusal
                    rows = read_all(journal, journal.acked + 1)
                    check(witness, journal, rows, at)
                    if again:
                        seconds += cut_again(image, nor.log, witness, at)
                    go_on(data, rows, journal, at)
                except Exception as e:
                    print(here)
                    raise e
        do(before, log[at], SIZE)
    print("cuts", cuts, "second", seconds)


def cut_again(before, log, witness, at):
    """Cut the power in every operation of a recovery as well."""
    cuts = 0
    for number in range(len(log)):
        for damage in DAMAGES:
            data = bytearray(before)
            if not damaged(data, log[number], damage, SIZE, number + at + seed):
                continue
            cuts += 1
            nor, journal = opened(data)
            recovery.start(journal, 1)
            check(witness, journal, read_all(journal, journal.acked + 1), at, 2)
        do(before, log[number], SIZE)
    return cuts


main()
