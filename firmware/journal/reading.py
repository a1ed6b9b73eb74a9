"""The records of one sector of the journal, forwards from any place of it: one buffer.

Nothing but a record whose checksum is right is ever handed out. Which sectors there are, and what
is lost between their records, is for cursor.py.
"""

import struct
from binascii import crc32

from micropython import const

_HEADER = const(48)
_FOOTER = const(8)
_LONGEST = const(96)
_SHORTEST = const(13)
_PLACES = const(96)  # that `find` tries where it does not find a record


class Reader:
    """Reads `sector` of `journal` from `offset` on, once `enter` has chosen it.

    After a record was found: `record_seq`, `kind` (a number of fields.py), `flag`, `boot`,
    `uptime_s`, `utc_s` (since 2000; 0 while unknown), `quality`; `damaged` when something else lay
    before it. `offset` is behind it, and it lies in `buffer` from `at` on.
    """

    def __init__(self, journal):
        self.journal = journal
        self.sector = -1
        self.buffer = bytearray(_LONGEST)
        self.damaged = False
        self.base_boot = self.offset = 0

    def enter(self, i):
        """Go to the first record of the sector `i`; False if its header is damaged."""
        header = bytearray(_HEADER)
        self.sector = i
        self._start = self._have = 0
        try:
            self.journal.store.read(i, 0, header)
        except OSError:
            return False
        self.salt = struct.unpack_from("<I", header, 44)[0]
        self.flags = header[3]
        self._first, self.base_boot = struct.unpack_from("<II", header, 12)
        self.offset = _HEADER
        return header[:2] == b"HJ" and crc32(memoryview(header)[:-4]) == self.salt

    def forget(self):
        """Read from flash again: `offset` was changed, or others may have written since."""
        self._have = 0

    def last(self):
        """The last seq that the sector's footer names; 0 if there is none."""
        footer = bytearray(_FOOTER)
        try:
            self.journal.store.read(self.sector, self.journal.store.size - _FOOTER, footer)
        except OSError:
            return 0
        last, check = struct.unpack("<II", footer)
        return last if crc32(memoryview(footer)[:4], self.salt) == check else 0

    def find(self, limit):
        """The next good record of the sector before `limit`.

        1: found; 0: there is none; -1: none yet, call again.
        """
        buffer = self.buffer
        for _ in range(_PLACES):
            offset = self.offset
            if offset + _SHORTEST > limit:
                return 0
            at = offset - self._start
            have = self._have  # bytes of the sector in the buffer, from _start on
            if at < 0 or at + _SHORTEST > have or at and have - at < buffer[at] <= _LONGEST:
                at = 0
                self._start = offset
                self._have = have = min(_LONGEST, limit - offset)
                try:
                    self.journal.store.read(self.sector, offset, memoryview(buffer)[:have])
                except OSError:
                    self._have = 0
                    self.damaged = True
                    self.offset = limit
                    return 0
            n = buffer[at]
            if _SHORTEST <= n <= have - at and self._is_good(at, n):
                self.at = at
                self.offset = offset + n
                return 1
            if n != 255:
                self.damaged = True
            self.offset = offset + 1
        return -1

    def _is_good(self, at, n):
        buffer = self.buffer
        end = at + n - 4
        if crc32(memoryview(buffer)[at:end], self.salt) != struct.unpack_from("<I", buffer, end)[0]:
            return False
        kind = buffer[at + 1]
        self.kind = kind & 31
        self.flag = kind & 32
        self.quality = kind >> 6
        seq, boot, self.uptime_s = struct.unpack_from("<HBI", buffer, at + 2)
        self.record_seq = self._first + seq
        self.boot = self.base_boot + boot
        self.utc_s = struct.unpack_from("<I", buffer, at + 9)[0] if self.quality else 0
        self.body = at + 13 if self.quality else at + 9
        self.body_end = end
        return True
