"""What 1,000 keys cost, on LittleFS as a stock board has it: flash read, RAM, allocation.

Arguments: a file to hold the flash, and "rows" or "json", the baseline: the same keys as a JSON
list that is loaded whole. Prints one "name value" a line.
"""

import gc
import json
import os
import sys

import vfs
from access_key_rows import card, entries, loaded

KEYS = 1000


class Chip:
    """512 sectors in a file, counted as they are read, without allocating."""

    def __init__(self, path):
        with open(path, "wb") as f:
            for _ in range(512):
                f.write(b"\xff" * 4096)
        self.file = open(path, "r+b")
        self.reads = 0
        self.bytes = 0
        self.erases = 0

    def readblocks(self, n, buf, offset=0):
        self.reads += 1
        self.bytes += len(buf)
        self.file.seek(n * 4096 + offset)
        self.file.readinto(buf)
        return 0

    def writeblocks(self, n, buf, offset=0):
        self.file.seek(n * 4096 + offset)
        self.file.write(buf)
        return 0

    def ioctl(self, op, n):
        if op == 6:
            self.erases += 1
        return 512 if op == 4 else 4096 if op == 5 else 0


def in_use():
    gc.collect()
    return gc.mem_alloc()


def number_of(uid):
    """Which of the keys has the card number `uid`, or -1."""
    n = uid[-1] | uid[-2] << 8
    return n if n < KEYS and card(n) == uid else -1


def neighbours(uid):
    """Card numbers next to this one, and shorter and longer ones with the same beginning."""
    for i in (0, len(uid) // 2, len(uid) - 2, len(uid) - 1):
        for d in (1, 255):
            other = bytearray(uid)
            other[i] = other[i] + d & 255
            yield other
    yield uid[:4] if len(uid) > 4 else uid + b"\0\0\0"
    yield uid[:7] if len(uid) > 7 else uid + bytes(10 - len(uid))


class Count:
    """What the lookups cost together, and the worst of them."""

    def __init__(self):
        self.bytes = self.reads = self.most_bytes = self.most_reads = self.allocated = self.n = 0

    def lookup(self, files, chip, uid):
        bytes_before = chip.bytes
        reads_before = chip.reads
        used = gc.mem_alloc()
        index = files.find(uid)
        used = gc.mem_alloc() - used
        self.allocated = max(self.allocated, used)
        self.n += 1
        self.bytes += chip.bytes - bytes_before
        self.reads += chip.reads - reads_before
        self.most_bytes = max(self.most_bytes, chip.bytes - bytes_before)
        self.most_reads = max(self.most_reads, chip.reads - reads_before)
        return index


def rows(chip):
    before = in_use()
    files = loaded("/flash")
    print("ram_room", in_use() - before)
    erases = chip.erases
    most = steps = 0
    before = in_use()
    for _ in files.replacing(entries(KEYS), 1):
        steps += 1
        most = max(most, in_use() - before)
    print("ram_replacing", most)
    print("erases_replacing", chip.erases - erases)
    print("steps_replacing", steps)
    files.close()
    del files
    before = in_use()
    files = loaded("/flash")
    print("ram_list", in_use() - before)
    print("file_bytes", os.stat("/flash/keys")[6])
    assert files.count == KEYS and files.notice is None

    hits, misses = Count(), Count()
    for n in range(KEYS):
        uid = card(n)
        index = hits.lookup(files, chip, uid)
        assert index >= 0 and files.row[0] == len(uid), n
        if n % 10 == 0:
            assert next(files.entries(index, 1))["label"] == f"kort {n} \u00e5"
            gc.collect()
    swept = 0
    for n in range(0, KEYS, 3):
        for other in neighbours(card(n)):
            k = number_of(other)
            index = misses.lookup(files, chip, other) if k < 0 else files.find(other)
            assert (index >= 0) == (k >= 0), (n, other, k)
            swept += 1
    assert swept > 3000 and not files.damaged
    for name, count in (("hit", hits), ("miss", misses)):
        print(name + "_bytes", count.bytes // count.n)
        print(name + "_reads", count.reads // count.n)
        print(name + "_most_bytes", count.most_bytes)
        print(name + "_most_reads", count.most_reads)
        print(name + "_allocated", count.allocated)

    erases = chip.erases
    for _ in files.adding({"uid": "04FFFFFF", "label": "one more"}):
        pass
    assert files.count == KEYS + 1 and files.find(b"\x04\xff\xff\xff") >= 0
    for _ in files.removing(card(500)):
        pass
    assert files.count == KEYS and files.find(card(500)) < 0 and files.find(card(501)) >= 0
    print("erases_adding_and_removing", chip.erases - erases)


def whole(chip):
    with open("/flash/keys.json", "w") as f:
        for n, entry in enumerate(entries(KEYS)):
            entry["uid"] = "".join(f"{b:02X}" for b in entry["uid"])
            f.write(("," if n else "[") + json.dumps(entry))
        f.write("]")
    print("file_bytes", os.stat("/flash/keys.json")[6])
    before = in_use()
    chip.bytes = 0
    with open("/flash/keys.json") as f:
        listed = json.load(f)
    print("bytes", chip.bytes)
    print("ram", in_use() - before)
    assert len(listed) == KEYS


# Chip before anything is measured: its own memory is no part of the firmware's
chip = Chip(sys.argv[1])
vfs.VfsLfs2.mkfs(chip)
vfs.mount(vfs.VfsLfs2(chip), "/flash")
rows(chip) if sys.argv[2] == "rows" else whole(chip)
