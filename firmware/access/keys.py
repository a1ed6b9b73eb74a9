"""The list of keys as rows of 64 bytes, sorted by card number: layout and search.

    row     0 length of the card number (4, 7, 10)   1 the number, then zeros   11 label
            35 parent id   55 zero   56 expiry, seconds since 2000, 0 for none   60 CRC-32
    header  0 "HKEY"   4 format   5 1 if edited here   6 number of rows   8 version of the list
            12 salt   16 zeros   60 CRC-32

Numbers are little-endian, texts UTF-8 with zeros behind. The header stands before the rows and
again behind them. The CRC of a row starts from the list's salt, a random number: a row left over
from another list, at which a broken pointer of the filesystem may arrive, is as bad as a damaged
one. Making and changing rows is in key_entry.py, files are in firmware/key_file.py.

Promises: a search reads about log2(count) rows, each into the one buffer it is given, and
allocates nothing; no row whose CRC is wrong is ever found, nor hides another row.
"""

import binascii

from micropython import const

SIZE = const(64)
MAX_KEYS = const(2000)
FORMAT = const(1)
# What CRC-32 gives over any bytes followed by their own CRC-32. It is a small integer, so that
# checking a good row allocates nothing.
_RESIDUE = const(0x2144DF1C)


def is_good(row, salt):
    """Whether the CRC at the end of `row` is right for a list with this `salt` (a header: 0)."""
    return binascii.crc32(row, salt) == _RESIDUE


def compare(row, uid):
    """Below, at or above zero: `row` stands before, at or behind the card number `uid`."""
    d = row[0] - len(uid)
    i = 0
    while d == 0 and i < len(uid):
        d = row[i + 1] - uid[i]
        i += 1
    return d


def find(rows, count, uid, row):
    """Index of the card number `uid` among `count` rows, or -1.

    A found row is left in `row`, else zeros. `rows.read(index, row)` fills the buffer and says
    whether the row is good. A bad one is passed over for its neighbour, so that the others are
    still found.
    """
    low = 0
    high = count
    while low < high:
        middle = (low + high) >> 1
        at = middle
        while at < high and not rows.read(at, row):
            at += 1
        d = compare(row, uid) if at < high else 1
        if d == 0:
            return at
        if d < 0:
            low = at + 1
        else:
            high = middle
    for i in range(SIZE):
        row[i] = 0  # what was read last is another's
    return -1


def number(row, at, size):
    """The unsigned number of `size` bytes at the offset `at`."""
    n = 0
    while size:
        size -= 1
        n = n << 8 | row[at + size]
    return n


def text(row, at, size):
    """The text in `size` bytes at the offset `at`."""
    return bytes(row[at : at + size]).rstrip(b"\x00").decode()


def label(row):
    """What the owner calls this key."""
    return text(row, 11, 24)


def parent(row):
    """The id that the keys of one owner share, "" if the key stands alone."""
    return text(row, 35, 20)


def expiry_s(row):
    """When the key ends, in seconds since 2000 UTC; 0 never."""
    return number(row, 56, 4)


def is_expired(row, now_s):
    """Whether the key's time is over at `now_s`, seconds since 2000 UTC."""
    end_s = number(row, 56, 4)
    return end_s != 0 and now_s >= end_s
