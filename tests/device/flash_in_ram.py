"""A NOR flash in RAM for LittleFS: it can die in the middle of an operation, and write a log."""

import vfs

SIZE = 4096


class Flash:
    """Programming clears bits, erasing sets them; dead after `left` of both, if `left` is not -1.

    `portion` is how much of the fatal operation is done, in quarters. `log`, if it is a list,
    takes each operation as (address, bytes programmed, or None for an erase).
    """

    def __init__(self, data=None, blocks=32):
        self.data = data or bytearray(b"\xff" * (SIZE * blocks))
        self.blocks = len(self.data) // SIZE
        self.left = -1
        self.portion = 0
        self.log = None

    def readblocks(self, n, buf, offset=0):
        at = n * SIZE + offset
        buf[:] = memoryview(self.data)[at : at + len(buf)]
        return 0

    def _alive(self, length):
        if self.left < 0:
            return length
        if self.left == 0:
            return 0
        self.left -= 1
        return length if self.left else length * self.portion // 4

    def writeblocks(self, n, buf, offset=0):
        at = n * SIZE + offset
        todo = self._alive(len(buf))
        if self.log is not None:
            self.log.append((at, bytes(buf)))
        program(self.data, at, buf, todo)
        return 0 if self.left else -5

    def ioctl(self, op, n):
        if op == 4:
            return self.blocks
        if op == 5:
            return SIZE
        if op == 6:
            todo = self._alive(SIZE)
            if self.log is not None:
                self.log.append((n * SIZE, None))
            erase(self.data, n * SIZE, todo)
            return 0 if self.left else -5
        return 0


def program(data, at, source, length):
    """Clear bits of `data` from `at` on, as NOR flash does."""
    for i in range(length):
        data[at + i] &= source[i]


def erase(data, at, length):
    """Set bits of `data` from `at` on."""
    data[at : at + length] = b"\xff" * length


def mounted(data=None, blocks=32, progsize=256):
    """A Flash at /cut, formatted if no `data` is given."""
    flash = Flash(data, blocks)
    if data is None:
        vfs.VfsLfs2.mkfs(flash, progsize=progsize)
    vfs.mount(vfs.VfsLfs2(flash, progsize=progsize), "/cut")
    return flash
