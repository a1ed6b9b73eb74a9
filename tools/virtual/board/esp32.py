"""The ESP32's `esp32` module: flash partitions and the small key-value store NVS.

Partition: numbers and behaviour as on the device: `writeblocks(n, data)` erases the sectors first,
with an offset it only programs; ioctl(6) erases one sector.

NVS: as on the device a value is there or not, never half, whenever the power goes. It is kept in
the partition "nvs" of the flash file, as a small file system of this project's own making, not in
Espressif's format.
"""

import vfs
from flash_chip import SECTOR

chip = None  # FlashChip; the boot ROM sets it
table = []  # rows (type, subtype, address, size, label, encrypted)

HEAP_DATA = 4
HEAP_EXEC = 1
WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True


class Partition:
    """A part of the flash chip as a block device with 4096-byte blocks."""

    BOOT = 0
    RUNNING = 1
    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, name, block_size=SECTOR):
        for row in table:
            if row[4] == name or (name in (Partition.BOOT, Partition.RUNNING) and row[0] == 0):
                self._row = row
                self._start = row[2]
                self._size = row[3]
                return
        raise OSError(-261)  # ESP_ERR_NOT_FOUND

    @staticmethod
    def find(type=0, subtype=255, label=None, block_size=SECTOR):
        return [
            Partition(row[4])
            for row in table
            if row[0] == type and subtype in (255, row[1]) and label in (None, row[4])
        ]

    def info(self):
        return self._row

    # The first statement of each, and the last before the return, keep scheduled callbacks out of
    # the middle of LittleFS: between two block operations the interpreter runs no bytecode.

    def readblocks(self, block, buffer, offset=0):
        chip.busy = True
        code = self._read(block * SECTOR + offset, buffer)
        chip.busy = False
        return code

    def writeblocks(self, block, buffer, offset=None):
        chip.busy = True
        code = self._write(block * SECTOR, buffer, offset)
        chip.busy = False
        return code

    def ioctl(self, op, argument=0):
        chip.busy = True
        code = self._control(op, argument)
        chip.busy = False
        return code

    def _read(self, start, buffer):
        if start < 0 or start + len(buffer) > self._size:
            return -5
        return chip.read(self._start + start, buffer)

    def _write(self, start, buffer, offset):
        if offset is not None:
            start += offset
        if start < 0 or start + len(buffer) > self._size:
            return -5
        if offset is None:
            code = chip.erase(self._start + start, (len(buffer) + SECTOR - 1) & ~(SECTOR - 1))
            if code:
                return code
        return chip.program(self._start + start, buffer)

    def _control(self, op, argument):
        if op == 4:
            return self._size // SECTOR
        if op == 5:
            return SECTOR
        if op == 6:
            if argument < 0 or (argument + 1) * SECTOR > self._size:
                return -5
            return chip.erase(self._start + argument * SECTOR, SECTOR)
        return 0

    def set_boot(self):
        pass

    def get_next_update(self):
        raise OSError(-261)

    @staticmethod
    def mark_app_valid_cancel_rollback():
        pass


_nvs_fs = None


def open_nvs():
    """The file system in the NVS partition, made when it is first needed."""
    global _nvs_fs
    if _nvs_fs is None:
        part = Partition("nvs")
        try:
            _nvs_fs = vfs.VfsLfs2(part)
        except OSError:
            vfs.VfsLfs2.mkfs(part)
            _nvs_fs = vfs.VfsLfs2(part)
    return _nvs_fs


class NVS:
    """A namespace of 32-bit integers and blobs. OSError(-4354): no such key."""

    def __init__(self, namespace):
        if len(namespace) > 15:
            raise OSError(-4354)
        self._prefix = namespace + "."

    def _read(self, kind, key):
        try:
            with open_nvs().open(self._prefix + key + kind, "rb") as file:
                return file.read()
        except OSError:
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND") from None

    def _write(self, kind, key, data):
        if len(key) > 15:
            raise OSError(-4361, "ESP_ERR_NVS_KEY_TOO_LONG")
        fs = open_nvs()
        try:
            if self._read(kind, key) == data:
                return  # as Espressif's: an equal value costs no flash
        except OSError:
            pass
        with fs.open("new", "wb") as file:
            file.write(data)
        fs.rename("new", self._prefix + key + kind)

    def get_i32(self, key):
        n = int.from_bytes(self._read(".i", key), "little")
        return n - (1 << 32) if n >> 31 else n

    def set_i32(self, key, value):
        self._write(".i", key, (value & 0xFFFFFFFF).to_bytes(4, "little"))

    def get_blob(self, key, buffer):
        data = self._read(".b", key)
        if len(data) > len(buffer):
            raise OSError(-4364, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(data)] = data
        return len(data)

    def set_blob(self, key, value):
        self._write(".b", key, value)

    def erase_key(self, key):
        found = False
        for kind in (".i", ".b"):
            try:
                open_nvs().remove(self._prefix + key + kind)
                found = True
            except OSError:
                pass
        if not found:
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")

    def commit(self):
        """Nothing left to do: every value was written when it was set."""


def raw_temperature():
    return 128


def mcu_temperature():
    return 45


def wake_on_ext0(pin=None, level=None):
    pass


def wake_on_ext1(pins=None, level=None):
    pass


def idf_heap_info(capabilities):
    return []
