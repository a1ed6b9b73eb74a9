"""Cut the power at every flash operation of a save, and of the save that follows: old or new.

LittleFS on a flash in RAM that dies at the n-th program or erase, with none, a part or all of it
done, and stays dead until it is mounted again.
"""

import vfs

from firmware.settings import Settings

_SIZE = 4096
_BLOCKS = 32


class Flash:
    """NOR flash in RAM: programming clears bits, erasing sets them; dead after `left` of both."""

    def __init__(self, data=None):
        self.data = data or bytearray(b"\xff" * (_SIZE * _BLOCKS))
        self.left = -1
        self.portion = 0  # how much of the fatal operation is done, in quarters

    def readblocks(self, n, buf, offset=0):
        at = n * _SIZE + offset
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
        at = n * _SIZE + offset
        todo = self._alive(len(buf))
        for i in range(todo):
            self.data[at + i] &= buf[i]
        return 0 if self.left else -5

    def ioctl(self, op, n):
        if op == 4:
            return _BLOCKS
        if op == 5:
            return _SIZE
        if op == 6:
            todo = self._alive(_SIZE)
            at = n * _SIZE
            for i in range(todo):
                self.data[at + i] = 0xFF
            return 0 if self.left else -5
        return 0


def mounted(data=None):
    flash = Flash(data)
    if data is None:
        vfs.VfsLfs2.mkfs(flash, progsize=256)
    vfs.mount(vfs.VfsLfs2(flash, progsize=256), "/cut")
    return flash


def loaded():
    s = Settings("/cut")
    s.load()
    return s


def saved(name):
    s = loaded()
    s.set_many({"charger_id": name})
    s.save()


def image(*names):
    """The flash after saving each of `names` in turn."""
    flash = mounted()
    for name in names:
        saved(name)
    vfs.umount("/cut")
    return flash.data


def cut_everywhere(data, old, new, then=None):
    """Save `new` over `old` with every cut; `then(data)` goes on with what is left on the flash."""
    for n in range(1, 100):
        for portion in (0, 1, 3, 4):
            flash = mounted(bytearray(data))
            flash.left, flash.portion = n, portion
            try:
                saved(new)
                complete = flash.left > 0
            except OSError:
                complete = False
            flash.left = -1
            vfs.umount("/cut")
            left = mounted(flash.data)
            found = loaded()
            vfs.umount("/cut")
            assert found.charger_id in (old, new), (n, portion, found.charger_id, found.notice)
            if complete:
                assert found.charger_id == new and found.notice is None
                return n
            if then:
                then(left.data, found.charger_id)
    raise AssertionError("a save never came to its end")


total = cut_everywhere(image(), "", "first")
total += cut_everywhere(image("first"), "first", "second")
two = image("first", "second")
total += cut_everywhere(
    two, "second", "third", lambda data, old: cut_everywhere(data, old, "fourth")
)
print("ok", total)
