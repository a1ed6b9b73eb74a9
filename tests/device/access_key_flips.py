"""Flip bits of a list at rest: no card is let in that is not on it, and who is lost is told.

First every bit of the file, then a bit in every byte of the flash that LittleFS has it on, where a
flip may also lead to the rows of an older list: they must not be mixed with the new ones. (A flip
in the newest entry of LittleFS' log makes it go back one change, to the older list as a whole.)
Argument: n, to try only each n-th byte of the flash.
"""

import sys

import vfs
from access_key_rows import card, entries, entry, finish, loaded
from flash_in_ram import mounted

from firmware import key_header

KEYS = 9


def look(files, known, strange, where):
    """Check one damaged list; how many of its keys are still found."""
    found = 0
    for n in known:
        if files.find(card(n)) >= 0:
            found += 1
            e = entry(n)
            row = files.row
            assert bytes(row[1 : 1 + row[0]]) == e["uid"], where
            assert next(files.entries(files.find(card(n)), 1))["expiry_s"] == e["expiry_s"], where
    for uid in strange:
        assert files.find(uid) == -1, (where, uid)
    assert found == len(known) or files.notice, where
    return found


def strangers(known):
    for n in known:
        uid = card(n)
        for bit in range(len(uid) * 8):
            other = bytearray(uid)
            other[bit >> 3] ^= 1 << (bit & 7)
            yield bytes(other)
        for size in (4, 7, 10):
            if size != len(uid):
                yield (uid + bytes(6))[:size]


def every_bit_of_the_file():
    mounted()
    files = loaded("/cut")
    finish(files.replacing(entries(KEYS), 1))
    files.close()
    with open("/cut/keys", "rb") as f:
        data = bytearray(f.read())
    vfs.umount("/cut")
    known = range(KEYS)
    lost = 0
    files = loaded("/none")
    for bit in range(len(data) * 8):
        data[bit >> 3] ^= 1 << (bit & 7)
        files = in_memory(data)
        at = (bit >> 9) - 1
        # in a row: what that card might have become; else some strangers
        strange = changed_card(data, at) if 0 <= at < KEYS else [card(100)]
        found = look(files, known, strange, bit)
        assert found == KEYS - (1 if 0 <= at < KEYS else 0), (bit, found)
        lost += KEYS - found
        data[bit >> 3] ^= 1 << (bit & 7)
    files = in_memory(data)
    assert look(files, known, strangers(known), "whole") == KEYS and files.notice is None
    return lost


def changed_card(data, at):
    start = (at + 1) * 64
    size = data[start]
    return (
        [bytes(data[start + 1 : start + 1 + size])]
        if size in (4, 7, 10) and changed(data, start, size)
        else []
    )


def changed(data, start, size):
    uid = bytes(data[start + 1 : start + 1 + size])
    return all(card(n) != uid for n in range(KEYS))


class Memory:
    """A file in RAM, read only."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def seek(self, at):
        self.at = at

    def readinto(self, row):
        part = self.data[self.at : self.at + len(row)]
        row[: len(part)] = part
        return len(part)

    def close(self):
        pass


def in_memory(data):
    """The list whose file holds `data`."""
    files = loaded("/none")
    key_header.take(files, Memory(data), len(data))
    return files


def every_byte_of_the_flash():
    flash = mounted(blocks=16, progsize=32)
    files = loaded("/cut")
    # lists over one another, so that old rows lie about
    finish(files.replacing(entries(70), 1))
    finish(files.replacing(entries(70), 2))
    finish(files.removing(card(69)))
    files.close()
    vfs.umount("/cut")
    known = range(0, 69, 4)
    strange = [card(69), card(70)]
    data = flash.data
    flips = lost = gone = back = 0
    for at in range(0, len(data), int(sys.argv[1])):
        if data[at] == 0xFF and at % 16:
            continue
        bit = 1 << (at * 5 & 7)
        data[at] ^= bit
        flips += 1
        try:
            mounted(data, progsize=32)
        except OSError:
            gone += 1  # no filesystem: no list
            data[at] ^= bit
            continue
        files = loaded("/cut")
        found = 0
        for n in known:
            if files.find(card(n)) >= 0:
                found += 1
        lost += found < len(known)
        if files.version == 2 and files.count == 69:
            for uid in strange:
                assert files.find(uid) == -1, (at, bit)
        elif files.count:
            back += 1
            assert found == len(known) and not files.damaged and not files.edited, (at, bit)
            assert files.count == 70 and (files.version in (1, 2)), (at, bit)
        files.close()
        vfs.umount("/cut")
        data[at] ^= bit
    return flips, lost, gone, back


print("bits_of_file_lost", every_bit_of_the_file())
print("flash", *every_byte_of_the_flash())
