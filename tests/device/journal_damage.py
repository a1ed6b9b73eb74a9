"""What no log can undo: bits that flip at rest, erased sectors, and flash that refuses writes.

Arguments: "raw" or "files" (what is in files of LittleFS, lost files, files that have lost their
end), and every how many bits one is flipped. With the raw store also a ring from a newer version,
with other sectors, and in a partition of another size.
"""

import os
import struct
import sys
from binascii import crc32

import vfs
from journal_flash import Nor, erase
from journal_witness import Witness, read_all, sessions

from firmware.journal import journal as ring
from firmware.journal import recovery
from firmware.journal.file_store import FileStore
from firmware.journal.raw_store import RawStore

SIZE = 512
SECTORS = 9
FILES = sys.argv[1] == "files"
stride = int(sys.argv[2])
last_store = None


def opened(data, sectors=SECTORS, size=SIZE):
    nor = Nor(size, sectors, data)
    journal = ring.Journal(RawStore(nor))
    recovery.start(journal, 1)
    return nor, journal


def filled(cycles, acks):
    """An image, and what is read from it."""
    nor = Nor(SIZE, SECTORS)
    nor.log = []
    witness = Witness(nor.log)
    store = FileStore("/files", SECTORS, SIZE) if FILES else RawStore(nor)
    if FILES:
        if last_store:
            last_store.close()
        for i in range(SECTORS):
            store.erase(i)
    sessions(witness, store, cycles, acks, lambda cycle: cycle % 4)
    nor.log = None
    if FILES:
        store.close()
        nor.data = from_files()
    journal = reopened(put(bytearray(nor.data)))
    journal.written = witness.by_seq
    return nor.data, read_all(journal, journal.acked + 1), journal


def from_files():
    """The sectors, one behind the other."""
    data = bytearray()
    for i in range(SECTORS):
        content = b""
        try:
            with open(f"/files/{i:02x}", "rb") as file:
                content = file.read()
        except OSError:
            pass
        data += content + b"\xff" * (SIZE - len(content))
    return data


def put(data):
    """Make the flash hold the image; for reopened()."""
    if not FILES:
        return data
    if last_store:
        last_store.close()
    for i in range(SECTORS):
        content = bytes(data[i * SIZE : (i + 1) * SIZE]).rstrip(b"\xff")
        if content:
            with open(f"/files/{i:02x}", "wb") as file:
                file.write(content)
        elif f"{i:02x}" in os.listdir("/files"):
            os.remove(f"/files/{i:02x}")
    return data


def reopened(data):
    """The journal in what put() has stored, as it is now."""
    global last_store
    if not FILES:
        return opened(data)[1]
    if last_store:
        last_store.close()  # or the next start would not see what it holds
    last_store = FileStore("/files", SECTORS, SIZE)
    journal = ring.Journal(last_store)
    recovery.start(journal, 1)
    return journal


def judge(data, good, was, at_most, where):
    """Read the damaged image: nothing wrong, at most so many records gone, and that is said."""
    journal = reopened(put(data))
    assert not journal.refusal, journal.refusal
    rows = read_all(journal, journal.acked + 1)
    kept = {row[0]: row for row in good if len(row) != 3}
    expected = journal.acked + 1
    gone = 0
    damaged = False
    for row in rows:
        if len(row) == 3:
            assert row[0] == expected, (where, "a gap that nobody explains")
            expected = row[1] + 1
            damaged = damaged or row[2] == "Damaged"
            for seq in range(row[0], row[1] + 1):
                if seq in kept:
                    gone += 1
                    assert row[2] in ("Damaged", "Full"), (where, row)
            continue
        assert row[0] == expected, (where, "out of order")
        expected += 1
        if row[0] in was.written:
            written = tuple(was.written[row[0]][:6])
            assert written == row, (where, "a wrong record was taken for good")
        else:
            assert row[0] > was.last_seq and row[1] & 31 in (ring.CLOSED, 15), (where, row)
    assert expected == journal.last_seq + 1 and journal.last_seq >= was.last_seq, where
    assert gone <= at_most, (where, gone, "records gone")
    # what is lost was noticed, at the start or by the reader
    assert not gone or damaged, where
    before = journal.last_seq
    seq = journal.append("online", (), 1)
    assert seq > before
    journal = reopened(data)
    assert [row for row in read_all(journal, seq) if row[0] == seq and len(row) > 3], where
    return gone


def flips():
    images = (
        filled(20, lambda cycle: False),
        filled(45, lambda cycle: False),
        filled(50, lambda cycle: cycle % 10 == 9),
    )
    flipped = gone = erased = 0
    for data, good, was in images:
        per_sector = SIZE // 5  # of a compacted one: with the numbers it has dropped
        for bit in range(0, len(data) * 8 - 8, stride):
            bit += bit // stride % 8  # every bit of a byte has its turn
            at = bit >> 3
            inside = at % SIZE
            record = ring.HEADER <= inside < SIZE - ring.FOOTER
            image = bytearray(data)
            image[at] ^= 1 << (bit & 7)
            gone += judge(image, good, was, 1 if record else per_sector, (at, bit & 7))
            flipped += 1
        for i in range(SECTORS):
            image = bytearray(data)
            erase(image, i * SIZE, SIZE)
            gone += judge(image, good, was, per_sector, ("erased", i))
            erased += 1
            if not FILES or i == was.head:
                continue  # that the newest had more to say, nothing tells
            for length in range(1, SIZE, 61):
                image = bytearray(data)
                erase(image, i * SIZE + length, SIZE - length)
                gone += judge(image, good, was, per_sector, ("its end lost", i, length))
                erased += 1
    print("flips", flipped, "erased", erased, "records gone", gone)
    assert gone > flipped // 8


def refusals():
    """Sectors refuse in turn, loudly or silently, from the start or later; a sample if short."""
    runs = 0
    for silent in (False, True):
        for i in range(0, SECTORS, 1 if stride < 1000 else 4):
            for later in (0, 10):
                nor = Nor(SIZE, SECTORS)
                nor.log = []
                witness = Witness(nor.log)

                def refuse(cycle):
                    if cycle == later:
                        nor.refusing[i] = silent
                    return cycle % 6 == 5

                if not later:
                    nor.refusing[i] = silent
                journal = sessions(witness, RawStore(nor), 60, refuse, lambda cycle: True)
                assert not journal.dropped
                assert journal.bad == [i]
                rows = read_all(journal, journal.acked + 1)
                for seq, row in witness.by_seq.items():
                    if seq > journal.acked:
                        assert tuple(row[:6]) in rows, (i, "a record is gone")
                codes = [row[2] for row in witness.rows if row[1] == 15]
                assert len(codes) == 2, "a bad sector is reported once"
                nor.refusing = {}
                _, journal = opened(nor.data)
                assert journal.bad == [i], "the bad sector was forgotten"
                assert journal.notice is None, "a bad sector that was recorded is said again"
                runs += 1
    nor = Nor(SIZE, SECTORS)
    journal = opened(nor.data)[1]
    journal.store._device.refusing = {i: False for i in range(SECTORS)}
    for _ in range(3):
        try:
            journal.append("online", (), 1)
            raise AssertionError("recorded on a flash that refuses everything")
        except OSError:
            pass
    journal.store._device.refusing = {}
    assert [row[0] for row in read_all(opened(nor.data)[1], 1)] == [1]
    print("refusals", runs)


def foreign():
    data, good, was = filled(20, lambda cycle: False)
    # a newer version: nothing is touched
    image = bytearray(data)
    i = was.head * SIZE
    image[i + 2] = 2
    struct.pack_into("<I", image, i + 44, crc32(memoryview(image)[i : i + 44]))
    kept = bytes(image)
    _, journal = opened(image)
    assert "newer" in journal.refusal and image == kept
    try:
        journal.append("online", (), 1)
        raise AssertionError("recorded into a newer journal")
    except OSError:
        pass
    for _ in journal.make_room():
        pass
    assert journal.ack(was.epoch, 1) and image == kept
    recovery.format(journal, 1)  # on purpose only
    assert journal.refusal is None and journal.epoch != was.epoch and journal.last_seq == 1
    _, again = opened(image)
    assert again.epoch == journal.epoch and again.last_seq == 1, "the old journal is back"
    # other sectors
    image = bytearray(data)
    _, journal = opened(image, SECTORS // 2, SIZE * 2)
    assert "sectors of" in journal.refusal and image == data
    # a larger partition, and a smaller one
    image = bytearray(data) + bytearray(b"\xff" * (3 * SIZE)) + bytearray(b"\x5a" * (2 * SIZE))
    _, journal = opened(image, SECTORS + 5)
    assert "size" in journal.notice and read_all(journal, 1) == good
    assert opened(image, SECTORS + 5)[1].notice is None, "said twice"
    for n in range(100):
        journal.append("online", (), n)
    for row in good:
        if len(row) > 3:
            assert row in read_all(journal, 1)
    for sectors in range(5, SECTORS):
        image = bytearray(data[: sectors * SIZE])
        _, journal = opened(image, sectors)
        rows = read_all(journal, 1)
        for row in rows:
            if len(row) > 3 and 1 < row[0] <= was.last_seq:
                assert row == tuple(was.written[row[0]][:6])
        for n in range(100):
            journal.append("online", (), n)
        read_all(opened(image, sectors)[1], 1)
    # rubbish
    for fill in (0, 0x55, 0xFE):
        _, journal = opened(bytearray([fill] * (SIZE * SECTORS)))
        assert "new one" in journal.notice and journal.last_seq == 1


if FILES:
    nor = Nor(SIZE, 64)
    vfs.VfsLfs2.mkfs(nor)
    vfs.mount(vfs.VfsLfs2(nor), "/files")
else:
    foreign()
    refusals()
flips()
