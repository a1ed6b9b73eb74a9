"""The list of keys in flash: looked up where it lies, replaced so that a power cut is harmless.

Promises: a lookup reads a few rows into one buffer, whatever the length of the list, and allocates
nothing; a damaged row is not found and `notice` says so; after a power cut at any moment of a
change the next `load` finds the old list or the new one. There is no fallback to an older list: it
could hold a key that was taken off. Instead the header is there twice.

A change is a generator, because it takes seconds of flash: each step is at most some sectors, and
lookups between steps see the old list. Run it to its end or close it:

    steps = keys.adding({"uid": "04A2B3C4", "label": "Kari"})
    try:
        for _ in steps:
            await asyncio.sleep_ms(0)
    finally:
        steps.close()

Does not decide when flash may be written (an erase stalls the whole chip): the caller changes keys
while the contactor is open. What a row looks like is in firmware/access/keys.py, changing the list
in firmware/key_writer.py.
"""

import os

from firmware.access import keys
from firmware.access.uid import BadKey
from firmware.briefly import briefly

_WRITER = "firmware.key_writer"
_ENTRY = "firmware.access.key_entry"


class KeyFile:
    """The list in `directory`.

    `count` rows, `version` as its author (a cloud) numbered it, `edited` if keys were added or
    removed here since. `notice` is a sentence about damage, or None; `damaged` says that a lookup
    or a page has met a damaged row. `row` holds the key that `find` found, for the functions of
    firmware.access.keys.
    """

    def __init__(self, directory=""):
        self.path = directory + "/keys"
        self.row = bytearray(keys.SIZE)
        self.changing = False
        self._file = None
        self._forget()

    def _forget(self):
        self.count = 0
        self.version = 0
        self.edited = False
        self.readable = True
        self.damaged = False
        self.notice = None
        self._salt = 0

    def load(self):
        """Open the list and read its header. Never raises for a bad file, and writes nothing."""
        self.close()
        self._forget()
        try:
            size = os.stat(self.path)[6]
            file = open(self.path, "rb")
        except OSError:
            return  # no list yet
        self.take(file, size)

    def take(self, file, size):
        """Read the header of the open `file` of `size` bytes, and keep it open for lookups."""
        self._file = file
        header = bytearray(keys.SIZE)
        problem = self._header_at(0, size, header)
        if problem:
            # Another firmware may keep nothing behind its rows, but the header keeps its place.
            if self.readable and self._header_at(size - keys.SIZE, size, header) is None:
                self.notice = "the start of the list of keys is damaged, its keys are known still"
                return
            self.readable = False
            self.count = 0
            self.notice = f"the list of keys {problem}: no key is known until it is replaced"

    def _header_at(self, offset, size, header):
        """Take a header in force; None, or what is wrong with it."""
        try:
            self._file.seek(offset)
            if self._file.readinto(header) != keys.SIZE or not keys.is_good(header, 0):
                return "is damaged"
        except (OSError, ValueError):
            return "is damaged"
        if header[4] != keys.FORMAT:
            self.readable = False
            return f"was written by another firmware (format {header[4]})"
        self.count = keys.number(header, 6, 2)
        if header[:4] != b"HKEY" or size != (self.count + 2) * keys.SIZE:
            return "is damaged"
        self.version = keys.number(header, 8, 4)
        self.edited = header[5] != 0
        self._salt = keys.number(header, 12, 4)
        return None

    def close(self):
        """Let go of the file; `load` opens it again."""
        if self._file:
            self._file.close()
            self._file = None

    def read(self, index, row):
        """Fill the buffer `row` with a row of the list; False if it is damaged."""
        try:
            self._file.seek((index + 1) * keys.SIZE)
            if self._file.readinto(row) == keys.SIZE and keys.is_good(row, self._salt):
                return True
        except OSError:
            pass
        self.damaged = True
        if self.notice is None:
            self.notice = f"key {index + 1} of the list is damaged: it is not known any more"
        return False

    def find(self, uid):
        """Index of the card number `uid` (bytes), its row in `row`, or -1. Expiry is not asked."""
        return keys.find(self, self.count, uid, self.row)

    def entry(self, index):
        """The key at `index` as a dict, see key_entry.py; None if it is damaged; for paging.

        IndexError at the end of the list.
        """
        if not 0 <= index < self.count:
            raise IndexError("the list has no such key")
        row = bytearray(keys.SIZE)
        return briefly(_ENTRY).unpack(row) if self.read(index, row) else None

    def adding(self, entry, version=None):
        """Steps that add a key, or replace the one of the same card; BadKey at the first step.

        `version` is the list's new number; None keeps the old one and marks the list as edited.
        """
        return self._steps(briefly(_WRITER).adding, entry, version)

    def removing(self, uid, version=None):
        """Steps that take the card number `uid` (text or bytes) off the list; BadKey if absent."""
        return self._steps(briefly(_WRITER).removing, uid, version)

    def replacing(self, entries, version):
        """Steps that replace the whole list by the dicts that `entries` yields, in any order.

        No more than some 50 of them are in memory at a time. BadKey, and the old list stays, if
        one of them is bad, one card is there twice or they are more than MAX_KEYS.
        """
        return self._steps(briefly(_WRITER).replacing, entries, version)

    def _steps(self, change, what, version):
        if self.changing:
            raise BadKey("keys", "are being changed just now: try again")
        self.changing = True
        try:
            yield from change(self, what, version)
        finally:
            self.changing = False
            for ending in (".new", ".run"):
                try:
                    os.remove(self.path + ending)
                except OSError:
                    pass

    def promote(self):
        """Put the complete file beside the list in its place: one step that nothing can split."""
        self.close()
        try:
            os.rename(self.path + ".new", self.path)
        finally:
            self.load()
