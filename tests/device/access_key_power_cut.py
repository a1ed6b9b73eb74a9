"""Cut the power at every flash operation of a change of the list: the old list or the new one.

A change is made once while its flash operations are written down. They are then done over, one by
one, on the flash as it was before, and the power is cut in each: with nothing of it done, a part,
one bit, all but one bit. Argument: the number of keys in the list.
"""

import sys

import vfs
from access_key_rows import card, entries, entry, finish, loaded, pages
from flash_in_ram import SIZE, erase, mounted, program

COUNT = int(sys.argv[1])
SMALL = COUNT <= 100
BLOCKS = 32 if SMALL else 96
PROGSIZE = 32


def recorded(data, change):
    """The flash operations of `change(files)` made on the flash `data`, which stays as it is."""
    flash = mounted(bytearray(data) if data else None, BLOCKS, PROGSIZE)
    before = bytearray(flash.data)
    files = loaded("/cut")
    flash.log = []
    change(files)
    log = flash.log
    flash.log = None
    files.close()
    vfs.umount("/cut")
    return before, log, flash.data


def partly(data, at, source):
    """Do the operation in every partial way, each time on a fresh copy of its bytes; yield."""
    length = len(source) if source else SIZE
    kept = bytes(data[at : at + length])
    yield 0
    for portion in (1, 2, 3):
        if source:
            program(data, at, source, length * portion // 4)
        else:
            erase(data, at, length * portion // 4)
        yield portion
        data[at : at + length] = kept
    if source:
        for i in range(length):  # one bit that it would have cleared
            bit = data[at + i] & ~source[i] & 255
            if bit:
                data[at + i] &= ~(bit & -bit)
                yield 4
                program(data, at, source, length)
                data[at + i] |= bit & -bit  # all but that one
                yield 5
                break
        data[at : at + length] = kept


def state(whole):
    """Version, count and, if `whole`, every key of the list at /cut, which must be undamaged."""
    files = loaded("/cut")
    listed = pages(files) if whole else None
    row = bytearray(64)
    if not whole:
        for i in range(0, files.count, 1 + files.count // 7):
            assert files.read(i, row)
    assert files.notice is None and not files.damaged, files.notice
    files.close()
    return files.version, files.count, files.edited, listed


def state_of(data, whole):
    mounted(data, BLOCKS, PROGSIZE)
    found = state(whole)
    vfs.umount("/cut")
    return found


def cut_everywhere(data, change, then=None, stride=1):
    """Cut `change` everywhere; then(data) goes on from what is left. Flash after the change."""
    global cuts
    before, log, after = recorded(data, change)
    old, new = state_of(before, True), state_of(after, True)
    assert old != new
    for number, (at, source) in enumerate(log):
        if number % stride == 0:
            for portion in partly(before, at, source):
                whole = SMALL or number % 32 == 0
                found = state_of(before, whole)
                expected = (old, new) if whole else (old[:3] + (None,), new[:3] + (None,))
                assert found in expected, (number, portion, found[:3], old[:3], new[:3])
                cuts += 1
                if then and portion == number % 6:
                    then(before)
        if source:
            program(before, at, source, len(source))
        else:
            erase(before, at, SIZE)
    assert before == after and state_of(before, True) == new
    return after


def replacing(count, salt, version):
    return lambda files: finish(files.replacing(entries(count, salt), version))


def next_change(data):
    """After a cut the list can be changed again, and that may be cut too."""
    after = cut_everywhere(data, lambda files: finish(files.adding(entry(777), 99)), None, 7)
    mounted(after, BLOCKS, PROGSIZE)
    files = loaded("/cut")
    assert files.find(card(777)) >= 0 and files.version == 99
    files.close()
    vfs.umount("/cut")


cuts = 0
first = cut_everywhere(None, replacing(COUNT, 0, 1))
second = cut_everywhere(first, replacing(COUNT + 5, 3, 2))
if SMALL:
    third = cut_everywhere(second, lambda files: finish(files.adding(entry(500))), next_change)
    cut_everywhere(third, lambda files: finish(files.removing(card(500))))
print("cuts", cuts)
