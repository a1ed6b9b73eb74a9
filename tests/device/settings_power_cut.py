"""Cut the power at every flash operation of a save, and of the save that follows: old or new.

LittleFS on a flash in RAM that dies at the n-th program or erase, with none, a part or all of it
done, and stays dead until it is mounted again.
"""

import vfs
from flash_in_ram import mounted

from firmware.settings import Settings


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
