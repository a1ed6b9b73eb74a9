"""Pages of the list of keys, and changes: a new file beside the old one, which takes its place.

Promises: memory for some 50 rows, whatever the length of the list; the list on flash is the old one
until the new one is complete, and stays so when a change fails. Every row is checked on its way: a
damaged one is left out and counted in the list's notice. Needed only while keys are shown or
changed: see briefly.py.

A whole list may come in any order: runs of sorted rows go to a file of their own, which is then
merged into the new list.
"""

import os

from firmware.access import keys, uid
from firmware.access.uid import BadKey
from firmware.briefly import briefly

key_entry = briefly("firmware.access.key_entry")
pack = key_entry.pack
seal = key_entry.seal

_RUN = 45  # rows: the root of MAX_KEYS, so that a run takes as much memory as the heads of all runs
_STEP = 32  # rows read or written between two steps


def entries(files, first, most):
    """See KeyFile.entries."""
    row = bytearray(keys.SIZE)
    for index in range(first, min(first + most, files.count)):
        yield key_entry.unpack(row) if files.read(index, row) else None


def steps(files, adds, what, version):
    """The steps of KeyFile.adding (`adds` True), removing (False) or replacing (None)."""
    if files.changing:
        raise BadKey("keys", "are being changed just now: try again")
    files.changing = True
    try:
        if adds is None:
            yield from _replacing(files, what, version)
        elif adds:
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
    finally:
        files.changing = False
        for ending in (".new", ".run"):
            try:
                os.remove(files.path + ending)
            except OSError:
                pass


def _promote(files):
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
        if index % _STEP == _STEP - 1:
            yield
    if new:
        kept += 1
    _check_count(kept)
    salt = _new_salt()
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
            if index % _STEP == _STEP - 1:
                yield
        if new:
            _put(out, new, salt)
            kept -= 1
        if kept:
            raise OSError("the list of keys changed while it was read")
        out.write(header)
    finally:
        out.close()
    _promote(files)
    if damaged:
        files.notice = f"{damaged} damaged keys were left out of the list"


def _put(out, row, salt):
    seal(row, salt)
    out.write(row)


def _check_count(count):
    if count > keys.MAX_KEYS:
        raise BadKey("keys", f"must be {keys.MAX_KEYS} at most")


def _new_salt():
    # below 2^30: a small integer on the board, so that checking a row allocates nothing
    return int.from_bytes(os.urandom(3), "little") + 1


def _replacing(files, entries, version):
    key_entry.check_number("version", version)
    salt = _new_salt()
    out = open(files.path + ".run", "wb")
    try:
        count = 0
        run = []
        for entry in entries:
            count += 1
            _check_count(count)
            row = bytearray(keys.SIZE)
            pack(entry, row)
            seal(row, salt)
            run.append(bytes(row))
            if len(run) == _RUN:
                _write_run(out, run)
                yield
        _write_run(out, run)
    finally:
        out.close()
    yield
    source = open(files.path + ".run", "rb")
    try:
        yield from _merge(files, source, count, version, salt)
    finally:
        source.close()
    _promote(files)


def _write_run(out, run):
    run.sort()
    for row in run:
        out.write(row)
    run.clear()


def _merge(files, source, count, version, salt):
    # heads[i] is the next row of the i-th run, nexts[i] the index of the one behind it
    nexts = list(range(0, count, _RUN))
    heads = [bytearray(keys.SIZE) for _ in nexts]
    for i in range(len(heads)):
        _advance(source, count, nexts, heads, i, salt)
    last = bytearray(keys.SIZE)
    header = key_entry.header(count, version, False, salt)
    out = open(files.path + ".new", "wb")
    try:
        out.write(header)
        for n in range(count):
            least = 0
            for i in range(1, len(heads)):
                if heads[i] < heads[least]:
                    least = i
            row = heads[least]
            if last[:11] == row[:11]:
                raise BadKey("uid", "is there twice: " + uid.masked(key_entry.card(row)))
            out.write(row)
            last[:] = row
            _advance(source, count, nexts, heads, least, salt)
            if n % _STEP == _STEP - 1:
                yield
        out.write(header)
    finally:
        out.close()


def _advance(source, count, nexts, heads, i, salt):
    """Read the next row of the i-th run; a finished run leaves the race."""
    index = nexts[i]
    row = heads[i]
    if index == count or index // _RUN != i:
        row[0] = 255  # behind every card
        return
    nexts[i] = index + 1
    source.seek(index * keys.SIZE)
    if source.readinto(row) != keys.SIZE or not keys.is_good(row, salt):
        raise OSError("the flash gave back something else than was written")
