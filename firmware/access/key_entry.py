"""A key as people and clouds write it, to a row of the list; and the list's header.

A key is a dict: "uid" (hexadecimal text, or bytes), and as one likes "label" (24 bytes of UTF-8),
"parent" (20 bytes, as an OCPP idTag), "expiry_s" (seconds since 2000 UTC, 0 for none).

Promises: what becomes a row has passed its check, the rest is a BadKey with the field; a row comes
back as it was given (firmware/key_pages.py). Needed only while keys are changed.
"""

import binascii

from firmware.access import keys, uid
from firmware.access.uid import BadKey


def pack(entry, row):
    """Fill the buffer `row`, all but its CRC, from the dict `entry`; BadKey if it is wrong."""
    if not isinstance(entry, dict):
        raise BadKey("key", "must be an object with a uid")
    for field in entry:
        if field not in ("uid", "label", "parent", "expiry_s"):
            raise BadKey(str(field)[:20], "is no field of a key")
    card = entry.get("uid")
    if isinstance(card, str):
        card = uid.parse(card)
    uid.check_learnable(card)
    for i in range(keys.SIZE):
        row[i] = 0
    row[0] = len(card)
    row[1 : 1 + len(card)] = card
    _put_text(row, 11, 24, "label", entry.get("label", ""))
    _put_text(row, 35, 20, "parent", entry.get("parent", ""))
    expiry_s = entry.get("expiry_s", 0)
    check_number("expiry_s", expiry_s)
    put_number(row, 56, 4, expiry_s)


def card(row):
    """The card number of a row."""
    return bytes(row[1 : 1 + row[0]])


def check_number(field, n):
    """BadKey unless `n` is a whole number of 32 bits."""
    if type(n) is not int or not 0 <= n <= 0xFFFFFFFF:
        raise BadKey(field, "must be a whole number from 0 to 4294967295")


def put_number(row, at, size, n):
    """Write `n` little-endian."""
    for i in range(at, at + size):
        row[i] = n & 255
        n >>= 8


def _put_text(row, at, size, field, text):
    if not isinstance(text, str):
        raise BadKey(field, "must be text")
    for c in text:
        if c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff":
            raise BadKey(field, "must be text without control characters")
    encoded = text.encode()
    if len(encoded) > size:
        raise BadKey(field, f"must be {size} bytes of UTF-8 at most")
    row[at : at + len(encoded)] = encoded


def seal(row, salt):
    """Write the CRC of a row of the list with this `salt` (a header: 0)."""
    put_number(row, 60, 4, binascii.crc32(memoryview(row)[:60], salt))


def header(count, version, edited, salt):
    """The header of a list."""
    row = bytearray(keys.SIZE)
    row[:4] = b"HKEY"
    row[4] = keys.FORMAT
    row[5] = 1 if edited else 0
    put_number(row, 6, 2, count)
    put_number(row, 8, 4, version)
    put_number(row, 12, 4, salt)
    seal(row, 0)
    return row
