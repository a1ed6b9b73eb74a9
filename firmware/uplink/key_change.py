"""Keys that the cloud adds and removes, one after the other. Loaded for as long as that takes."""

from firmware.briefly import briefly


def steps(charger, add, remove):
    """Steps that change the list; ValueError, and nothing is changed, if one entry is wrong."""
    for row in add:
        _check(row)
    yield
    for uid in remove:
        yield from charger.keys.removing(uid)
    for row in add:
        yield from charger.keys.adding(row)
    charger.recorder.append("security", "KeysChanged", "Cloud", len(add) + len(remove))


def _check(row):
    """Make an entry of a command one of the list: its last day is a number there."""
    if isinstance(row, dict) and "expires" in row:
        try:
            expiry_s = briefly("firmware.utc_text").parse(str(row.pop("expires")) + "T00:00:00Z")
        except ValueError:
            raise ValueError("expires must be a day as 2027-01-31") from None
        row["expiry_s"] = expiry_s
    briefly("firmware.access.key_entry").pack(row, bytearray(64))
