"""Cut the power in the flash operations of a run that overfills the ring; check every promise.

Arguments: "raw" or "files" (on LittleFS); the stride between stretches of operations that are cut,
the first of them, and the length of a stretch; every how many cuts a second one follows at every
operation of the recovery (0: never); and a seed that moves the bits.

A start is a function of the sectors that it looks at (and of the time of day, which LittleFS notes
in its entries). So a cut that leaves the same in all of them as one that was tried before, with the
same to be promised, is counted and not tried once more: on LittleFS, which writes into blocks that
nobody knows yet, most are such.
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
stride, first, stretch, second, seed = [int(word) for word in sys.argv[2:7]]


class Chance:
    """The epoch comes from the seed: all checksums start from it, so a cut can be repeated."""

    def urandom(self, n):
        return (seed * 0x9E3779B1 & 0xFFFFFFFF).to_bytes(n, "little")


recovery.os = Chance()


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


class Tried:
    """Images that were tried, each with the sectors that were looked at; the last few of them."""

    def __init__(self, most):
        self._most = most
        self._runs = []

    def clear(self):
        self._runs = []

    def has(self, data):
        """True if a start cannot tell the image from one that was tried."""
        data = memoryview(data)
        for k in range(len(self._runs) - 1, -1, -1):
            run = self._runs[k]
            for at in run[1]:
                if data[at : at + SIZE] != run[0][at : at + SIZE]:
                    break
            else:
                self._runs.append(self._runs.pop(k))
                return True
        return False

    def add(self, image, used):
        if len(self._runs) == self._most:
            self._runs.pop(0)
        self._runs.append((memoryview(image), [i * SIZE for i in range(BLOCKS) if used[i]]))


def opened(nor):
    return ring.Journal(store_on(nor))


def go_on(nor, rows, odd):
    """What was read is read again after more was recorded, room was made and power came back."""
    journal = opened(nor)
    recovery.start(journal, 1)
    again = read_all(journal, journal.acked + 1)
    assert again == rows, "the second start reads something else than the first"
    assert not journal.cut_session, "a session was closed twice"
    seq = journal.append("session_start", (1, 5, "Open", None), 1)
    journal.append("session_end", (1, 6, 1, 60, False, "Local"), 60)
    if odd:
        for _ in journal.make_room():
            pass
    journal = opened(nor)
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
    changes = witness.changes()
    tried = Tried(100)
    cuts = runs = 0
    seconds = [0, 0]
    for at in range(len(log)):
        if at in changes:
            tried.clear()
        if at // stretch % stride == first:
            for damage in DAMAGES:
                data = bytearray(before)
                if not damaged(data, log[at], damage, SIZE, at + seed):
                    continue
                cuts += 1
                again = cuts % second == 0 if second else False
                if tried.has(data):
                    continue
                runs += 1
                image = bytearray(data)
                nor = Nor(SIZE, BLOCKS, data)
                nor.log = []
                try:
                    journal = opened(nor)
                    recovery.start(journal, 1)
                    assert journal.refusal is None, journal.refusal
                    rows = read_all(journal, journal.acked + 1)
                    check(witness, journal, rows, at)
                    recovered, nor.log = nor.log, None
                    go_on(nor, rows, runs % 2)
                    if again:
                        cut_again(image, recovered, nor.used, witness, at, seconds)
                except Exception as e:
                    print(f"cut {at} of {len(log)} ({damage}, seed {seed})")
                    raise e
                tried.add(image, nor.used)
        do(before, log[at], SIZE)
    print("cuts", cuts, "tried", runs, "second", seconds[0], "second_tried", seconds[1])


def cut_again(image, log, used, witness, at, seconds):
    """Cut the power in every operation of a recovery as well; what matters of `image` in `used`."""
    tried = Tried(12)
    old = bytearray(b"\x01" * BLOCKS)  # what the recovery has not erased
    before = bytearray(image)
    for number in range(len(log)):
        for damage in DAMAGES:
            data = bytearray(before)
            if not damaged(data, log[number], damage, SIZE, number + at + seed):
                continue
            seconds[0] += 1
            if tried.has(data):
                continue
            seconds[1] += 1
            again = bytearray(data)
            nor = Nor(SIZE, BLOCKS, data)
            journal = opened(nor)
            recovery.start(journal, 1)
            check(witness, journal, read_all(journal, journal.acked + 1), at, 2)
            tried.add(again, nor.used)
            for i in range(BLOCKS):
                used[i] |= nor.used[i] & old[i]
        do(before, log[number], SIZE)
        if log[number][1] is None:
            old[log[number][0] // SIZE] = 0


main()
