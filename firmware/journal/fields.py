"""What the records say: one table, for writing them and for reading them.

Numbers of kinds and of codes lie on flash: both lists only ever grow at their end. A code that is
not in the list is written out.
"""

import struct

from micropython import const

_LONGEST_TEXT = const(32)
_LONGEST_KEY = const(10)
_ESCAPE = const(255)
_INTERNAL = const(28)
_ESTIMATED = const(32)

# Kind 1 first. A field is its name and its type: 2 and 4 are unsigned numbers of so many bytes,
# c a code, t a text, k a key's number (bytes or None), e the mark "estimated" (it takes no room).
_KINDS = (
    "boot cause:c firmware:t;"
    "clock;"
    "session_start session:2 meter_wh:4 how:c key:k;"
    "checkpoint session:2 meter_wh:4 energy_wh:4 duration_s:4 estimated:e;"
    "session_end session:2 meter_wh:4 energy_wh:4 duration_s:4 estimated:e reason:c;"
    "session_closed session:2 meter_wh:4 energy_wh:4 duration_s:4 estimated:e reason:c "
    "session_boot:4;"
    "fault code:c count:2;"
    "fault_cleared code:c count:2;"
    "unlock by:c;"
    "settings names:t by:c;"
    "security code:c by:c count:2;"
    "online;"
    "offline reason:c;"
    "events_lost count:2 why:c;"
    "notice code:c value:4"
)

# The number of a code is its place, from 1.
_CODES = (
    "|EVDisconnected|Local|UnlockCommand|PowerLoss|Other|Remote|DeAuthorized|EmergencyStop"
    "|HardReset|SoftReset|Reboot|Rcd|RcdTest|Welded|NotClosed|LockFailed|UnlockFailed|Diode"
    "|PilotShort|Overtemperature|Overcurrent|MeterSilent|Proximity|Open|Key|AnyKey|Schedule|Page"
    "|Cloud|Console|Phone|Ntp|Installer|LoginFailed|LockedOut|LoggedIn|PinChanged|KeysChanged"
    "|FirmwareChanged|power-on|hard-reset|watchdog|deep-sleep|soft-reset|brown-out|BadSector"
    "|JournalFull|RecordsLost|Formatted|SectorLost|Damaged|TimeOut|Refused|Starting|Stopped"
    "|NoPermit|Server|Deliberate|CloudForgot|"
)


def names():
    """The kinds that can be recorded."""
    return [kind.split(" ")[0] for kind in _KINDS.split(";")]


def pack(kind, values):
    """(number, body) of a record of `kind` with the tuple `values`; ValueError if they do not fit.

    Numbers that are too large for their field are written as the largest that fits.
    """
    number = 0
    for row in _KINDS.split(";"):
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
                known = _CODES.find("|" + value + "|") if value and "|" not in value else -1
                if known >= 0 or not value:
                    body.append(_CODES[: known + 1].count("|"))
                    continue
                body.append(_ESCAPE)
            text = value.encode()
            if len(text) > _LONGEST_TEXT:
                raise ValueError(f"{column[:-2]} of {kind} is longer than {_LONGEST_TEXT} bytes")
            body.append(len(text))
            body.extend(text)
    return number, body


def unpack(cursor):
    """The record that a cursor stands on, as a dict; with "raw" if this firmware does not know it.

    `uptime_s` is of the boot `boot`, `utc_s` counts from 2000 (None: unknown, see times.py),
    `quality` is 0 to 3.
    """
    record = {
        "seq": cursor.record_seq,
        "kind": "",
        "boot": cursor.boot,
        "uptime_s": cursor.uptime_s,
        "utc_s": cursor.utc_s if cursor.quality else None,
        "quality": cursor.quality,
    }
    body = bytes(memoryview(cursor.buffer)[cursor.body : cursor.body_end])
    columns = _part(_KINDS, ";", cursor.kind - 1).split(" ")
    if not columns[0]:
        record["kind"] = f"kind {cursor.kind}"
        record["raw"] = body
        return record
    record["kind"] = columns[0]
    at = 0
    try:
        for column in columns[1:]:
            form = column[-1]
            if form == "2":
                value = struct.unpack_from("<H", body, at)[0]
                at += 2
            elif form == "4":
                value = struct.unpack_from("<I", body, at)[0]
                at += 4
            elif form == "e":
                value = cursor.flag != 0
            elif form == "c" and body[at] != _ESCAPE:
                value = _code(body[at])
                at += 1
            else:
                if form == "c":
                    at += 1
                value = body[at + 1 : at + 1 + body[at]]
                at += 1 + body[at]
                value = (value or None) if form == "k" else value.decode()
            record[column[:-2]] = value
    except (IndexError, ValueError):
        record["raw"] = body  # written by another firmware
    return record


def _code(number):
    return _part(_CODES, "|", number) or (f"code {number}" if number else "")


def _part(texts, mark, number):
    """Text `number`, from 0, of those between marks; "" if there is none. Makes no list of all."""
    at = 0
    while number > 0 and at >= 0:
        at = texts.find(mark, at) + 1 or -1
        number -= 1
    if number or at < 0:
        return ""
    end = texts.find(mark, at)
    return texts[at:] if end < 0 else texts[at:end]
