"""A key more or less: a new file of the list of keys, which takes the old one's place.

Promises: memory for some 50 rows, whatever the length of the list; the list on flash is the old one
until the new one is complete, and stays so when a change fails. Every row is checked on its way: a
damaged one is left out and counted in the list's notice. Needed only while keys are changed: see
briefly.py. A whole new list is in key_replacing.py.
"""

import os

from firmware.access import keys, uid
from firmware.access.uid import BadKey
from firmware.briefly import briefly

key_entry = briefly("firmware.access.key_entry")
pack = key_entry.pack
seal = key_entry.seal

STEP = 32  # rows read or written between two steps


def steps(files, adds, what, version):
    """The steps of KeyFile.adding (`adds` True) or removing."""
    return guarded(files, _change(files, adds, what, version))


def _change(files, adds, what, version):
    if adds:
        row = bytearray(keys.SIZE)
        pack(what, row)
        yield from _rewrite(files, key_entry.card(row), row, version)
    else:
        if isinstance(what, str):
            what = uid.parse(what)
        uid.check(what)
        if keys.find(files, files.count, what, bytearray(keys.SIZE)) < 0:
            raise BadKey("uid", "is not on the list: " + uid.masked(what))
        yield from _rewrite(files, what, None, version)


def guarded(files, change):
    """The steps of a `change`: one change at a time, and nothing but the list is left behind."""
    if files.changing:
        raise BadKey("keys", "are being changed just now: try again")
    files.changing = True
    try:
        yield from change
    finally:
        files.changing = False
        for ending in (".new", ".run"):
            try:
                os.remove(files.path + ending)
            except OSError:
                pass


def promote(files):
    """Put the complete file beside the list in its place: one step that nothing can split."""
    files.close()
    try:
        os.rename(files.path + ".new", files.path)
    finally:
        files.load()


def _rewrite(files, card, new, version):
    """Copy the list without the card, with the row `new` in its place if there is one."""
    if not files.readable:
        raise BadKey("keys", "cannot be read: replace the whole list")
    edited = files.edited or version is None
    if version is None:
        version = files.version
    key_entry.check_number("version", version)
    row = bytearray(keys.SIZE)
    kept = damaged = 0
    for index in range(files.count):
        if not files.read(index, row):
            damaged += 1
        elif keys.compare(row, card):
            kept += 1
        if index % STEP == STEP - 1:
            yield
    if new:
        kept += 1
    check_count(kept)
    salt = new_salt()
    out = open(files.path + ".new", "wb")
    try:
        header = key_entry.header(kept, version, edited, salt)
        out.write(header)
        for index in range(files.count):
            if files.read(index, row):
                order = keys.compare(row, card)
                if new and order > 0:
                    _put(out, new, salt)
                    new = None
                    kept -= 1
                if order:
                    _put(out, row, salt)
                    kept -= 1
            if index % STEP == STEP - 1:
                yield
        if new:
            _put(out, new, salt)
            kept -= 1
        if kept:
            raise OSError("the list of keys changed while it was read")
        out.write(header)
    finally:
        out.close()
    promote(files)
    if damaged:
        files.notice = f"{damaged} damaged keys were left out of the list"


def _put(out, row, salt):
    seal(row, salt)
    out.write(row)


def check_count(count):
    """BadKey for more keys than a list can hold."""
    if count > keys.MAX_KEYS:
        raise BadKey("keys", f"must be {keys.MAX_KEYS} at most")


def new_salt():
    """What the CRCs of a new list start from."""
    # below 2^30: a small integer on the board, so that checking a row allocates nothing
    return int.from_bytes(os.urandom(3), "little") + 1
