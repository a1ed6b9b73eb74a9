"""A whole new list of keys in the old one's place. Needed only then: see briefly.py.

The keys may come in any order: runs of sorted rows go to a file of their own, which is then merged
into the new list. Promises what key_writer.py does; memory for some 50 rows.
"""

from firmware.access import keys, uid
from firmware.access.uid import BadKey
from firmware.key_writer import (
    STEP,
    check_count,
    guarded,
    key_entry,
    new_salt,
    pack,
    promote,
    seal,
)

_RUN = 45  # rows: the root of MAX_KEYS, so that a run takes as much memory as the heads of all runs


def steps(files, entries, version):
    """See KeyFile.replacing."""
    return guarded(files, _replacing(files, entries, version))


def _replacing(files, entries, version):
    key_entry.check_number("version", version)
    salt = new_salt()
    out = open(files.path + ".run", "wb")
    try:
        count = 0
        run = []
        for entry in entries:
            count += 1
            check_count(count)
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
    promote(files)


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
            if n % STEP == STEP - 1:
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
