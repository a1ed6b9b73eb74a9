"""Made-up keys for the tests of the list: cards of all three lengths, many of them neighbours."""

import firmware.access.key_entry  # noqa: F401  stays loaded: compiling it each time takes long
import firmware.key_header  # noqa: F401
import firmware.key_writer  # noqa: F401
from firmware.key_file import KeyFile


def card(n, salt=0):
    """The n-th card number, bytes; every third one of each length, in no order."""
    x = n * 0x2545F491 + salt * 0x61C88647 + 12345
    x ^= x >> 7
    size = (4, 7, 10)[n % 3]
    uid = bytearray(size)
    for i in range(size):
        uid[i] = (x >> (i * 3) ^ x >> 11 ^ i * 37) & 255
    uid[size - 1] = n & 255
    uid[size - 2] = n >> 8 & 255
    if uid[0] == 8:
        uid[0] = 9
    return bytes(uid)


def entries(count, salt=0):
    """`count` keys as dicts, in no order."""
    for n in range(count):
        yield entry(n, salt)


def entry(n, salt=0):
    return {
        "uid": card(n, salt),
        "label": f"kort {n} \u00e5",
        "parent": f"owner-{n // 2}",
        "expiry_s": n * 1000 if n % 4 == 0 else 0,
    }


def finish(steps):
    """Run a change to its end; the number of its steps."""
    count = 0
    for _ in steps:
        count += 1
    return count


def loaded(directory):
    files = KeyFile(directory)
    files.load()
    return files


def pages(files):
    """All of the list, None for a damaged key."""
    return list(files.entries(0, files.count))
