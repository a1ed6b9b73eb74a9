"""The number of an RFID card: 4, 7 or 10 bytes (ISO/IEC 14443-3, single, double, triple size).

Promises: `parse` returns only such a number or raises BadKey; `masked` is what may stand in a log
or a status, and no sentence of BadKey holds more than that. It runs on CPython as well.
"""

import binascii

from firmware.access import BadKey


def check(uid):
    """BadKey unless `uid` is bytes (or a bytearray) of a card number's length."""
    if not isinstance(uid, (bytes, bytearray)) or len(uid) not in (4, 7, 10):
        raise BadKey("uid", "must be 4, 7 or 10 bytes in hexadecimal")


def parse(text):
    """The bytes of "04A2B3C4", in either case; ":", "-" or a space may stand between bytes."""
    uid = None
    if isinstance(text, str) and len(text) <= 29:
        if text[2:3] in (":", "-", " "):
            parts = text.split(text[2:3])
            text = "".join([part if len(part) == 2 else "?" for part in parts])
        # unhexlify of MicroPython passes over spaces
        if len(text) % 2 == 0 and all(c in "0123456789abcdefABCDEF" for c in text):
            uid = binascii.unhexlify(text)
    check(uid)
    return uid


def shown(uid):
    """The whole number in hexadecimal, for who has logged in; `parse` takes it back."""
    return binascii.hexlify(uid).decode().upper()


def masked(uid):
    """First and last byte only, as "04..C4": for logs, status and whoever has not logged in."""
    whole = shown(uid)
    return whole[:2] + ".." + whole[-2:]


def is_random(uid):
    """Whether the card makes up its number anew each time: 4 bytes, the first of them 08.

    Telephones and passports do. ISO/IEC 14443-3 keeps 08 for this.
    """
    return len(uid) == 4 and uid[0] == 8


def check_learnable(uid):
    """BadKey unless the card can be recognised when it comes again."""
    check(uid)
    if is_random(uid):
        raise BadKey("uid", "is a new one at each tap of this card or phone: it cannot be learned")
