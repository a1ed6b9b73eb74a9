"""Making the body of a record, as fields.py has its table. Loaded for each record."""

from micropython import const

from firmware.journal.fields import CODES, KINDS

_LONGEST_TEXT = const(32)
_LONGEST_KEY = const(10)
_ESCAPE = const(255)
_ESTIMATED = const(32)


def pack(kind, values):
    """(number, body) of a record of `kind` with the tuple `values`; ValueError if they do not fit.

    Numbers that are too large for their field are written as the largest that fits.
    """
    number = 0
    for row in KINDS.split(";"):
        number += 1
        columns = row.split(" ")
        if columns[0] == kind:
            break
    else:
        raise ValueError(f"the journal knows no record {kind}")
    if len(values) != len(columns) - 1:
        raise ValueError(f"{kind} has {len(columns) - 1} fields")
    body = bytearray()
    for column, value in zip(columns[1:], values):
        form = column[-1]
        if form == "2" or form == "4":
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"{column[:-2]} of {kind} must be a number, 0 or more")
            n = 2 if form == "2" else 4
            body.extend(min(value, (1 << 8 * n) - 1).to_bytes(n, "little"))
        elif form == "e":
            if value:
                number |= _ESTIMATED
        elif form == "k":
            value = value or b""
            if len(value) > _LONGEST_KEY:
                raise ValueError(f"{column[:-2]} of {kind} is longer than {_LONGEST_KEY} bytes")
            body.append(len(value))
            body.extend(value)
        else:
            if form == "c":
                known = CODES.find("|" + value + "|") if value and "|" not in value else -1
                if known >= 0 or not value:
                    body.append(CODES[: known + 1].count("|"))
                    continue
                body.append(_ESCAPE)
            text = value.encode()
            if len(text) > _LONGEST_TEXT:
                raise ValueError(f"{column[:-2]} of {kind} is longer than {_LONGEST_TEXT} bytes")
            body.append(len(text))
            body.extend(text)
    return number, body
