"""Pages of the list of keys, to be shown; needed for as long as one is."""

from firmware.access import keys


def entries(files, first, most):
    """See KeyFile.entries."""
    row = bytearray(keys.SIZE)
    for index in range(first, min(first + most, files.count)):
        yield entry(row) if files.read(index, row) else None


def entry(row):
    """The dict of a good `row`; key_entry.pack takes it back."""
    return {
        "uid": bytes(row[1 : 1 + row[0]]).hex().upper(),
        "label": keys.label(row),
        "parent": keys.parent(row),
        "expiry_s": keys.expiry_s(row),
    }
