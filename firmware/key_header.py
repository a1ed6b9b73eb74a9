"""Opens the list of keys: its header, or what is wrong with it. Needed at the start and after a
change.
"""

import os

from firmware.access import keys


def load(files):
    """See KeyFile.load."""
    files.close()
    files.forget()
    try:
        size = os.stat(files.path)[6]
        file = open(files.path, "rb")
    except OSError:
        return  # no list yet
    take(files, file, size)


def take(files, file, size):
    """Read the header of the open `file` of `size` bytes, and keep it open for lookups."""
    files.file = file
    header = bytearray(keys.SIZE)
    problem = _header_at(files, 0, size, header)
    if problem:
        # Another firmware may keep nothing behind its rows, but the header keeps its place.
        if files.readable and _header_at(files, size - keys.SIZE, size, header) is None:
            files.notice = "the start of the list of keys is damaged, its keys are known still"
            return
        files.readable = False
        files.count = 0
        files.notice = f"the list of keys {problem}: no key is known until it is replaced"


def _header_at(files, offset, size, header):
    """Take a header in force; None, or what is wrong with it."""
    try:
        files.file.seek(offset)
        if files.file.readinto(header) != keys.SIZE or not keys.is_good(header, 0):
            return "is damaged"
    except (OSError, ValueError):
        return "is damaged"
    if header[4] != keys.FORMAT:
        files.readable = False
        return f"was written by another firmware (format {header[4]})"
    files.count = keys.number(header, 6, 2)
    if header[:4] != b"HKEY" or size != (files.count + 2) * keys.SIZE:
        return "is damaged"
    files.version = keys.number(header, 8, 4)
    files.edited = header[5] != 0
    files.salt = keys.number(header, 12, 4)
    return None
