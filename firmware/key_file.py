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
in firmware/key_writer.py and key_replacing.py.
"""

from firmware.access import keys
from firmware.briefly import briefly

_HEADER = "firmware.key_header"
_WRITER = "firmware.key_writer"


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
        self.file = None
        self.forget()

    def forget(self):
        """No list."""
        self.count = 0
        self.version = 0
        self.edited = False
        self.readable = True
        self.damaged = False
        self.notice = None
        self.salt = 0

    def load(self):
        """Open the list and read its header. Never raises for a bad file, and writes nothing."""
        briefly(_HEADER).load(self)

    def close(self):
        """Let go of the file; `load` opens it again."""
        if self.file:
            self.file.close()
            self.file = None

    def read(self, index, row):
        """Fill the buffer `row` with a row of the list; False if it is damaged."""
        try:
            self.file.seek((index + 1) * keys.SIZE)
            if self.file.readinto(row) == keys.SIZE and keys.is_good(row, self.salt):
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

    def entries(self, first, most):
        """Yield at most `most` keys from index `first` on as dicts, see key_entry.py; for paging.

        In place of a damaged one comes None.
        """
        return briefly("firmware.key_pages").entries(self, first, most)

    def adding(self, entry, version=None):
        """Steps that add a key, or replace the one of the same card; BadKey at the first step.

        `version` is the list's new number; None keeps the old one and marks the list as edited.
        """
        return briefly(_WRITER).steps(self, True, entry, version)

    def removing(self, uid, version=None):
        """Steps that take the card number `uid` (text or bytes) off the list; BadKey if absent."""
        return briefly(_WRITER).steps(self, False, uid, version)

    def replacing(self, entries, version):
        """Steps that replace the whole list by the dicts that `entries` yields, in any order.

        No more than some 50 of them are in memory at a time. BadKey, and the old list stays, if
        one of them is bad, one card is there twice or they are more than MAX_KEYS.
        """
        return briefly("firmware.key_replacing").steps(self, entries, version)
