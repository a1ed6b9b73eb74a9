"""The flash chip, partitions and NVS. Usage: virtual_flash.py BLANK_FLASH_FILE."""

import sys

import esp32
import flash_chip
import vfs

path = sys.argv[1]
SIZE = 1 << 20
chip = flash_chip.FlashChip(open(path, "r+b"), SIZE)
esp32.chip = chip
esp32.table = [
    (1, 2, 0x9000, 0x6000, "nvs", False),
    (1, 6, 0x20000, 0x8000, "journal", False),
    (1, 129, 0x80000, 0x80000, "vfs", False),
]


def in_file(address, count):
    with open(path, "rb") as file:
        file.seek(address)
        return file.read(count)


def nor():
    part = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="journal")[0]
    assert part.info()[2:5] == (0x20000, 0x8000, "journal")
    assert part.ioctl(4, 0) == 8 and part.ioctl(5, 0) == 4096
    buffer = bytearray(4096)
    part.readblocks(0, buffer)
    assert buffer == b"\xff" * 4096
    # Programming clears bits and cannot set any.
    part.writeblocks(0, b"\xf0", 10)
    part.writeblocks(0, b"\x3f", 10)
    assert in_file(0x20000, 12) == b"\xff" * 10 + b"\x30\xff"
    assert chip.bad_programs == 1
    # Every length and alignment, over page borders.
    bad = chip.bad_programs
    for offset, length in ((0, 1), (100, 300), (255, 2), (512, 128), (1000, 1500), (4095, 1)):
        part.ioctl(6, 1)
        part.writeblocks(1, bytes(i & 255 for i in range(length)), offset)
        part.readblocks(1, buffer)
        wanted = b"\xff" * offset + bytes(i & 255 for i in range(length))
        assert buffer == wanted + b"\xff" * (4096 - len(wanted)), (offset, length)
        small = bytearray(length)
        part.readblocks(1, small, offset)
        assert small == wanted[offset:]
    assert chip.bad_programs == bad
    # Without an offset the sector is erased first; its neighbours stay.
    part.writeblocks(0, b"\x00" * 4096)
    part.writeblocks(1, b"\x55" * 4096)
    part.writeblocks(0, b"\xaa" * 4096)
    assert in_file(0x20000, 8192) == b"\xaa" * 4096 + b"\x55" * 4096
    erases = chip.erases
    assert part.ioctl(6, 0) == 0 and chip.erases == erases + 1
    assert in_file(0x20000, 4097) == b"\xff" * 4096 + b"\x55"
    # Beyond the partition: refused, nothing changes.
    assert part.writeblocks(8, b"\x00" * 4096) == -5
    assert part.writeblocks(7, b"\x00" * 10, 4090) == -5
    assert part.readblocks(8, buffer) == -5
    assert part.ioctl(6, 8) == -5
    assert in_file(0x28000, 10) == b"\xff" * 10
    try:
        esp32.Partition("nothing")
        raise AssertionError("found a partition that is not there")
    except OSError:
        pass


def littlefs():
    part = esp32.Partition("vfs")
    vfs.VfsLfs2.mkfs(part)
    fs = vfs.VfsLfs2(part)
    for n in range(20):
        with fs.open("file%d" % n, "wb") as file:
            file.write(bytes([n]) * 3000)
    fs = vfs.VfsLfs2(part)
    for n in range(20):
        with fs.open("file%d" % n, "rb") as file:
            assert file.read() == bytes([n]) * 3000
    assert chip.bad_programs == 1  # LittleFS programs only what it erased


def nvs():
    try:
        esp32.NVS("holdfast").get_i32("boots")
        raise AssertionError("a blank NVS knows a key")
    except OSError as error:
        assert error.errno == -4354
    for value in (0, 1, -1, 0x7FFFFFFF, -0x80000000):
        store = esp32.NVS("holdfast")
        store.set_i32("boots", value)
        store.commit()
        assert esp32.NVS("holdfast").get_i32("boots") == value
    store.set_blob("safe", b"\x20\x00\x1b\x00")
    buffer = bytearray(80)
    assert store.get_blob("safe", buffer) == 4 and buffer[:4] == b"\x20\x00\x1b\x00"
    try:
        store.get_blob("safe", bytearray(2))
        raise AssertionError("a blob fitted into less room")
    except OSError:
        pass
    try:
        esp32.NVS("other").get_blob("safe", buffer)
        raise AssertionError("namespaces are not apart")
    except OSError:
        pass
    store.erase_key("safe")
    try:
        store.erase_key("safe")
        raise AssertionError("an erased key was still there")
    except OSError:
        pass
    # A new life with the same chip.
    esp32._nvs_fs = None
    assert esp32.NVS("holdfast").get_i32("boots") == -0x80000000


for case in (nor, littlefs, nvs):
    case()
    print(case.__name__, "ok")
