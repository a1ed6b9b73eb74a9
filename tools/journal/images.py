"""A journal as the host gets hold of it: as the sectors that firmware/journal reads."""

from __future__ import annotations

import base64
import binascii
import pathlib
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECTOR = 4096
_PARTITION_TABLE = 0x8000
_HEADER = 48


class JournalError(Exception):
    """A sentence why no journal can be read."""


class Sectors:
    """Sectors in memory, as a store that refuses to be written."""

    wears = False
    group = 96
    hold_s = 0

    def __init__(self, sectors, size):
        self._sectors = [bytes(data[:size]).ljust(size, b"\xff") for data in sectors]
        self.sectors = len(sectors)
        self.size = size

    def read(self, i, at, buffer):
        buffer[:] = self._sectors[i][at : at + len(buffer)]

    def program(self, i, at, data, durable=True):
        raise JournalError("an image is only read")


def _header_size(data, at):
    """The sector size that a good header at `at` names, or 0."""
    header = data[at : at + _HEADER]
    if header[:2] != b"HJ" or len(header) < _HEADER:
        return 0
    if binascii.crc32(header[:-4]) != struct.unpack_from("<I", header, _HEADER - 4)[0]:
        return 0
    return struct.unpack_from("<H", header, 28)[0]


def partition(data, label):
    """(start, length) of a partition in the image of a whole ESP32 flash; None if it has none."""
    for at in range(_PARTITION_TABLE, min(_PARTITION_TABLE + 0xC00, len(data) - 31), 32):
        magic, _, _, start, length, name = struct.unpack_from("<HBBII16s", data, at)
        if magic != 0x50AA:
            return None
        if name.rstrip(b"\0") == label.encode():
            return start, length
    return None


def from_image(data, offset=None, length=None):
    """The sectors in the bytes of a partition, or of a whole flash with a partition `journal`."""
    if offset is None:
        start, whole = partition(data, "journal") or (0, len(data))
    else:
        start, whole = offset, len(data) - offset
    data = data[start : start + (length or whole)]
    size = 0
    for at in range(0, len(data), 128):
        size = _header_size(data, at)
        if size:
            break
    size = size or SECTOR
    if len(data) < size:
        raise JournalError("the image is shorter than one sector")
    return Sectors([data[at : at + size] for at in range(0, len(data), size)], size)


def from_directory(folder):
    """The sectors in the files that a board without a journal partition keeps."""
    files = {}
    for path in sorted(pathlib.Path(folder).iterdir()):
        try:
            files[int(path.name, 16)] = path.read_bytes()
        except ValueError:
            continue
    return _from_files(files)


def _from_files(files):
    sizes = [_header_size(data, 0) for data in files.values()]
    if not any(sizes):
        raise JournalError("no file there is a sector of a journal")
    good = [data for data in files.values() if _header_size(data, 0)]
    count = max(max(files) + 1, *(data[30] | data[31] << 8 for data in good))
    return Sectors([files.get(i, b"") for i in range(count)], max(sizes))


_COPY_OUT = """
import os, sys, vfs
path, start, length, folder, into = sys.argv[1:6]
start, length = int(start), int(length)
file = open(path, "rb")
class Image:
    def readblocks(self, n, buf, offset=0):
        file.seek(start + n * 4096 + offset)
        file.readinto(buf)
        return 0
    def writeblocks(self, n, buf, offset=0):
        return -5
    def ioctl(self, op, n):
        return length // 4096 if op == 4 else 4096 if op == 5 else -5 if op == 6 else 0
vfs.mount(vfs.VfsLfs2(Image()), "/image", readonly=True)
for name, kind, *_ in os.ilistdir("/image/" + folder):
    with open("/image/" + folder + "/" + name, "rb") as f:
        data = f.read()
    with open(into + "/" + name, "wb") as f:
        f.write(data)
"""


def from_littlefs(path, offset=None, length=None, folder="journal"):
    """The sector files in an image of LittleFS, or of a whole flash with a partition `vfs`."""
    data = pathlib.Path(path).read_bytes()
    if offset is None:
        offset, whole = partition(data, "vfs") or (0, len(data))
    else:
        whole = len(data) - offset
    binary = ROOT / "build" / "bin" / "micropython"
    with tempfile.TemporaryDirectory(prefix="holdfast-") as into:
        script = pathlib.Path(into) / "copy_out.py"
        script.write_text(_COPY_OUT)
        arguments = [str(path), str(offset), str(length or whole), folder, into]
        done = subprocess.run([binary, script, *arguments], capture_output=True, text=True)
        if done.returncode:
            raise JournalError(
                f"no LittleFS with a folder {folder} is there: {(done.stdout + done.stderr)[-200:]}"
            )
        return from_directory(into)


# In small pieces, for a board whose memory is nearly full; what is erased is left out.
_DUMP = """
import binascii, os
piece = bytearray(256)
def say(i, at, n):
    for k in range(n):
        if piece[k] < 255:
            data = binascii.b2a_base64(memoryview(piece)[:n])
            print("holdfast-journal", i, at, str(data, "ascii").strip())
            return
def dump():
    try:
        from esp32 import Partition
        found = Partition.find(Partition.TYPE_DATA, label="journal")
    except ImportError:
        found = ()
    if found:
        for i in range(found[0].ioctl(4, 0)):
            for at in range(0, found[0].ioctl(5, 0), 256):
                found[0].readblocks(i, piece, at)
                say(i, at, 256)
        return
    for name in os.listdir({folder!r}):
        with open({folder!r} + "/" + name, "rb") as file:
            at = 0
            while True:
                n = file.readinto(piece)
                if not n:
                    break
                say(int(name, 16), at, n)
                at += n
dump()
print("holdfast-journal end")
"""


def over_mpremote(port, folder="/journal"):
    """The sectors of the board at `port`, whichever store it has. The firmware stops meanwhile."""
    command = [sys.executable, "-m", "mpremote", "connect", port, "resume", "exec"]
    done = subprocess.run(
        [*command, _DUMP.format(folder=folder)], capture_output=True, text=True, timeout=300
    )
    files: dict[int, bytearray] = {}
    complete = False
    for line in done.stdout.splitlines():
        if not line.startswith("holdfast-journal "):
            continue
        words = line.split()[1:]
        if words == ["end"]:
            complete = True
            continue
        data = files.setdefault(int(words[0]), bytearray())
        data += b"\xff" * (int(words[1]) - len(data))
        data += base64.b64decode(words[2])
    if not complete:
        raise JournalError(f"the board did not answer: {(done.stdout + done.stderr)[-300:]}")
    return _from_files(files)
