"""What the records say: one table, for writing them (packing.py) and for reading them.

Numbers of kinds and of codes lie on flash: both lists only ever grow at their end. A code that is
not in the list is written out.
"""

import struct

from micropython import const

_ESCAPE = const(255)

# Kind 1 first. A field is its name and its type: 2 and 4 are unsigned numbers of so many bytes,
# c a code, t a text, k a key's number (bytes or None), e the mark "estimated" (it takes no room).
KINDS = (
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
CODES = (
    "|EVDisconnected|Local|UnlockCommand|PowerLoss|Other|Remote|DeAuthorized|EmergencyStop"
    "|HardReset|SoftReset|Reboot|Rcd|RcdTest|Welded|NotClosed|LockFailed|UnlockFailed|Diode"
    "|PilotShort|Overtemperature|Overcurrent|MeterSilent|Proximity|Open|Key|AnyKey|Schedule|Page"
    "|Cloud|Console|Phone|Ntp|Installer|LoginFailed|LockedOut|LoggedIn|PinChanged|KeysChanged"
    "|FirmwareChanged|power-on|hard-reset|watchdog|deep-sleep|soft-reset|brown-out|BadSector"
    "|JournalFull|RecordsLost|Formatted|SectorLost|Damaged|TimeOut|Refused|Starting|Stopped"
    "|NoPermit|Server|Deliberate|CloudForgot|"
)


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
    columns = _part(KINDS, ";", cursor.kind - 1).split(" ")
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
    return _part(CODES, "|", number) or (f"code {number}" if number else "")


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
