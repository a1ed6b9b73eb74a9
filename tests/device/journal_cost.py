"""What 1,000 sessions of 8 checkpoints cost the flash: one way of keeping them for each call.

Arguments: "raw", "files", "json" (a line appended to a file and flushed, the plain way) or "btree"
(where the interpreter has it), and the number of sessions. Prints one "name value" a line.
"""

import json
import sys
import time

import vfs
from journal_flash import Nor

from firmware.journal import journal as ring
from firmware.journal import recovery
from firmware.journal.file_store import FileStore
from firmware.journal.raw_store import RawStore

WAY = sys.argv[1]
SESSIONS = int(sys.argv[2])
KEY = b"\x04\xa2\xb3\xc4\xd5\xe6\xf7"
# What these take on the chip, of facts.md: an erase 25 to 400 ms, 256 bytes 0.25 to 2 ms.
ERASE_US = 45000
PROGRAM_PAGE_US = 800
PAGE = 256


class Chip(Nor):
    """Counts, without work that this measurement does not need, and remembers the worst time."""

    def __init__(self, sectors):
        Nor.__init__(self, 4096, sectors)
        self.busy_us = 0

    def writeblocks(self, n, buf, offset=0):
        at = n * 4096 + offset
        self.programs += 1
        self.programmed += len(buf)
        self.busy_us += PROGRAM_PAGE_US * (1 + (len(buf) - 1) // PAGE)
        self.data[at : at + len(buf)] = buf  # always into what was erased
        return 0

    def ioctl(self, op, n):
        if op == 6:
            self.busy_us += ERASE_US
        return Nor.ioctl(self, op, n)


def one_session(append, number, uptime):
    """A session of 8 checkpoints; `append(kind, values, uptime_s)` blocks."""
    wh = 5000 * number
    append("session_start", (number, wh, "Key", KEY), uptime)
    for n in range(1, 9):
        append("checkpoint", (number, wh + 500 * n, 500 * n, 900 * n, False), uptime + 900 * n)
    append("session_end", (number, wh + 4500, 4500, 8000, False, "EVDisconnected"), uptime + 8000)


def payload():
    """Bytes of what a session has to say: its fields, each as wide as it must be, and the times."""
    start = 2 + 4 + 1 + 8
    checkpoint = 2 + 4 + 4 + 4
    end = checkpoint + 1
    return start + 8 * checkpoint + end + 10 * (4 + 4)


chip = Chip(64 if WAY == "raw" else 512)
if WAY != "raw":
    vfs.VfsLfs2.mkfs(chip)
    vfs.mount(vfs.VfsLfs2(chip), "/flash")

worst_us = 0


def timed(call):
    def append(*row):
        global worst_us
        before = chip.busy_us
        call(*row)
        worst_us = max(worst_us, chip.busy_us - before)

    return append


def print_costs(erases, programmed):
    print("erases", chip.erases - erases)
    print("programmed", chip.programmed - programmed)
    print("payload", payload() * SESSIONS)
    print("worst_us", worst_us)


if WAY in ("raw", "files"):
    store = RawStore(chip) if WAY == "raw" else FileStore("/flash/journal")
    journal = ring.Journal(store)
    recovery.start(journal, 1)

    def append(kind, values, uptime):
        journal.append(kind, values, uptime, 800_000_000 + uptime, 2)

    def run(sessions):
        for number in range(1, sessions + 1):
            one_session(timed(append), number, number * 9000)
            # the cloud is there, and the contactor opens after each session
            if number % 10 == 0:
                journal.ack(journal.epoch, journal.last_seq)
            for _ in journal.make_room():
                pass

    run(SESSIONS)  # so that the ring has gone round
    worst_us = 0
    erases, programmed = chip.erases, chip.programmed
    run(SESSIONS)
    print_costs(erases, programmed)
    store = RawStore(chip) if WAY == "raw" else store
    if WAY == "files":
        store.close()
        vfs.umount("/flash")
        vfs.mount(vfs.VfsLfs2(chip), "/flash")
        store = FileStore("/flash/journal")
    journal = ring.Journal(store)
    chip.bytes_read = 0
    started = time.ticks_us()
    recovery.start(journal, 2)
    print("boot_us", time.ticks_diff(time.ticks_us(), started))
    print("boot_bytes", chip.bytes_read)
    print("ring_bytes", store.size * store.sectors)
elif WAY == "json":
    file = open("/flash/journal.jsonl", "a")
    seq = 0

    def append(kind, values, uptime):
        global seq
        seq += 1
        values = [v.hex() if isinstance(v, bytes) else v for v in values]
        line = json.dumps([seq, kind, 1, uptime, 800_000_000 + uptime, values])
        file.write(line + "\n")
        file.flush()

    erases, programmed = chip.erases, chip.programmed
    for number in range(1, SESSIONS + 1):
        one_session(timed(append), number, number * 9000)
    print_costs(erases, programmed)
    file.close()
    vfs.umount("/flash")
    vfs.mount(vfs.VfsLfs2(chip), "/flash")
    chip.bytes_read = 0
    last = None
    with open("/flash/journal.jsonl") as file:
        for line in file:
            last = json.loads(line)  # nothing less tells the last number, and which are whole
    assert last[0] == seq
    print("boot_bytes", chip.bytes_read)
else:
    try:
        import btree
    except ImportError:
        print("missing 1")
        sys.exit()
    file = open("/flash/journal.db", "w+b")
    tree = btree.open(file, pagesize=1024)
    seq = 0

    def append(kind, values, uptime):
        global seq
        seq += 1
        values = [v.hex() if isinstance(v, bytes) else v for v in values]
        tree[b"%08d" % seq] = json.dumps([kind, 1, uptime, 800_000_000 + uptime, values]).encode()
        tree.flush()
        file.flush()

    erases, programmed = chip.erases, chip.programmed
    for number in range(1, SESSIONS + 1):
        one_session(timed(append), number, number * 9000)
    print_costs(erases, programmed)
