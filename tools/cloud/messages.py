"""Every message of the contract, checked: what chargers send, and what they are sent.

`check` is the judge for the cloud, for its tests and for the examples of docs/mqtt.md. A message
may have more fields than it must have, since firmware and cloud are not renewed on the same day.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from typing import Any

import tools.journal  # noqa: F401 - first: it brings what the firmware's modules import

from firmware.access import key_entry, uid  # isort: skip
from firmware.journal import fields  # isort: skip

LONGEST_DOWN = 1024  # bytes of a message that a charger takes
_LONGEST_UP = {
    "status": 16384,
    "sessions": 65536,
    "events": 65536,
    "authorize": 256,
    "reply": 4096,
}
UP = tuple(_LONGEST_UP)
QUALITIES = ("unknown", "phone", "cloud", "ntp")
STATES = (
    "Available",
    "Preparing",
    "Charging",
    "SuspendedEV",
    "SuspendedEVSE",
    "Finishing",
    "Unavailable",
    "Faulted",
)
LONGEST_WINDOW_S = 14400  # a charger takes a longer one for this

_MOST = 0xFFFFFFFF  # numbers of the journal have 32 bits
_DEEPEST = 8
_RECORDS_AT_MOST = 1000
_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_UTC = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_CARD = re.compile(r"(?:[0-9A-F]{8}|[0-9A-F]{14}|[0-9A-F]{20})")


class Malformed(ValueError):
    """A message does not keep the contract; the text is a sentence that says where."""


def is_charger_id(text: str) -> bool:
    """Whether a charger may be called so; `fleet` and `cloud` are topics of their own."""
    return bool(_ID.fullmatch(text)) and text not in ("fleet", "cloud")


def utc_text(unix_s: float) -> str:
    """Seconds since 1970 as "2026-11-23T11:50:00Z"."""
    when = datetime.datetime.fromtimestamp(int(unix_s), datetime.UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_s(text: str) -> int:
    """Seconds since 1970 of a time as utc_text writes it; ValueError for any other text."""
    if not _UTC.fullmatch(text):
        raise ValueError("it must look like 2026-11-23T11:50:00Z")
    return int(datetime.datetime.fromisoformat(text).timestamp())


def expiry_s(day: str) -> int:
    """The beginning of `day`, "2027-01-31", in seconds since 2000 UTC: a key's end.

    ValueError for any other text.
    """
    if not re.fullmatch(r"20\d\d-\d\d-\d\d", day):
        raise ValueError("it must look like 2027-01-31")
    return (datetime.date.fromisoformat(day) - datetime.date(2000, 1, 1)).days * 86400


def encode(message: dict[str, Any]) -> bytes:
    """The bytes that go over the wire."""
    return json.dumps(message, separators=(",", ":")).encode()


def canonical(content: Any) -> str:
    """One text for equal contents, in ASCII: what the database keeps and compares."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


# Checks of one value. Each takes the value and what it is, and raises Malformed.

_Check = Callable[[Any, str], None]


def _number(least: int, most: int) -> _Check:
    def check_number(value: Any, what: str) -> None:
        if type(value) is not int or not least <= value <= most:
            raise Malformed(f"{what} must be a whole number from {least} to {most}")

    return check_number


def _text(longest: int, least: int = 0) -> _Check:
    def check_text(value: Any, what: str) -> None:
        if not isinstance(value, str) or not least <= len(value) <= longest:
            raise Malformed(f"{what} must be a text of {least} to {longest} characters")
        if not value.isprintable():
            raise Malformed(f"{what} must be without control characters")

    return check_text


def _one_of(*allowed: Any) -> _Check:
    def check_choice(value: Any, what: str) -> None:
        if not any(type(value) is type(choice) and value == choice for choice in allowed):
            raise Malformed(f"{what} must be one of {', '.join(map(str, allowed))}")

    return check_choice


def _or_null(check_value: _Check) -> _Check:
    def check_nullable(value: Any, what: str) -> None:
        if value is not None:
            check_value(value, what)

    return check_nullable


def _list(check_item: _Check, longest: int, least: int = 0) -> _Check:
    def check_list(value: Any, what: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= longest:
            raise Malformed(f"{what} must be a list of {least} to {longest}")
        for number, item in enumerate(value, 1):
            check_item(item, f"{what}, number {number},")

    return check_list


def _object(needed: dict[str, _Check], optional: dict[str, _Check] | None = None) -> _Check:
    def check_object(value: Any, what: str) -> None:
        if not isinstance(value, dict):
            raise Malformed(f"{what} must be an object")
        _fields(value, needed, optional or {}, what)

    return check_object


def _fields(
    message: dict[str, Any], needed: dict[str, _Check], optional: dict[str, _Check], what: str
) -> None:
    for name, check_value in needed.items():
        if name not in message:
            raise Malformed(f"{what} has no {name}")
        check_value(message[name], name)
    for name, check_value in optional.items():
        if name in message:
            check_value(message[name], name)


def _bool(value: Any, what: str) -> None:
    if not isinstance(value, bool):
        raise Malformed(f"{what} must be true or false")


def _utc(value: Any, what: str) -> None:
    try:
        if not isinstance(value, str):
            raise ValueError("it must be a text such as 2026-11-23T11:50:00Z")
        utc_s(value)
    except ValueError as error:
        raise Malformed(f"{what} is no time: {error}") from None


def _hex(longest: int) -> _Check:
    def check_hex(value: Any, what: str) -> None:
        if not isinstance(value, str) or len(value) > longest or not _HEX.fullmatch(value):
            raise Malformed(f"{what} must be hexadecimal, {longest} digits at most")

    return check_hex


def _card(value: Any, what: str) -> None:
    if not isinstance(value, str) or not _CARD.fullmatch(value):
        raise Malformed(f"{what} must be 4, 7 or 10 bytes in upper-case hexadecimal")


def _req(value: Any, what: str) -> None:
    if type(value) is int:
        _number(0, (1 << 30) - 1)(value, what)
    else:
        _text(36, 1)(value, what)


def _key(value: Any, what: str) -> None:
    """An entry of a key list, as the command `keys` adds it."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} must be an object with a uid")
    entry = dict(value)
    try:
        if "expires" in entry:
            entry["expiry_s"] = expiry_s(str(entry.pop("expires")))
        key_entry.pack(entry, bytearray(64))  # the firmware's own rules
    except uid.BadKey as error:
        raise Malformed(f"{what} {error.field} {error.reason}") from None
    except ValueError as error:
        raise Malformed(f"{what} expires: {error}") from None


# Records

_SEQ = _number(1, _MOST)
_COUNT = _number(0, _MOST)
_COMMON = {
    "seq": _SEQ,
    "kind": _text(32, 1),
    "boot": _COUNT,
    "uptime_s": _COUNT,
    "utc": _or_null(_utc),
    "quality": _number(0, len(QUALITIES) - 1),
}
_FORMS: dict[str, _Check] = {
    "2": _number(0, 0xFFFF),
    "4": _COUNT,
    "c": _text(32),
    "t": _text(32),
    "k": _or_null(_hex(20)),
    "e": _bool,
}


def _kinds() -> dict[str, dict[str, _Check]]:
    # The firmware's own table, so that a new kind of record need not be written down twice.
    found = {}
    for row in fields.KINDS.split(";"):
        kind, *columns = row.split(" ")
        found[kind] = {column[:-2]: _FORMS[column[-1]] for column in columns}
    return found


KINDS = _kinds()
SESSION_KINDS = ("session_start", "checkpoint", "session_end", "session_closed")


def _check_record(record: dict[str, Any]) -> None:
    if "lost" in record:
        _fields(record, {"lost": _list(_SEQ, 2, 2), "why": _text(64)}, {}, "a lost range")
        first, last = record["lost"]
        if not (first <= last and record["seq"] in (first, last)):
            raise Malformed("lost must be its first and its last number, and seq one of them")
        return
    _fields(record, _COMMON, {}, "a record")
    if (record["utc"] is None) != (record["quality"] == 0):
        raise Malformed("quality must be 0 where utc is null, and only there")
    if "raw" in record:
        _hex(192)(record["raw"], "raw")
    elif record["kind"] in KINDS:
        _fields(record, KINDS[record["kind"]], {}, f"a record {record['kind']}")
    elif not re.fullmatch(r"kind \d{1,3}", record["kind"]):
        raise Malformed(f"there is no record {record['kind']}")


def records(message: dict[str, Any]) -> tuple[int, list[tuple[dict[str, Any], str | None]]]:
    """(epoch, [(record, None or what is wrong with it)]) of a message `sessions` or `events`.

    A record with a good `seq` is always among them: one that cannot be understood is kept and
    reported, since refusing it would block all that comes behind. Malformed if the envelope is
    wrong or a record has no number.
    """
    needed = {"epoch": _number(1, _MOST), "records": _list(_any, _RECORDS_AT_MOST)}
    _fields(message, needed, {}, "the message")
    found: list[tuple[dict[str, Any], str | None]] = []
    for record in message["records"]:
        if not isinstance(record, dict) or "seq" not in record:
            raise Malformed("a record has no seq")
        _SEQ(record["seq"], "seq")
        problem = None
        try:
            _check_record(record)
        except Malformed as error:
            problem = str(error)
        found.append((record, problem))
    return message["epoch"], found


def _any(value: Any, what: str) -> None:
    pass


# Whole messages

_CODE_AND_TEXT = _object({"code": _text(32), "text": _text(200)})
_STATUS = {
    "id": _text(32, 1),
    "online": _bool,
    "state": _one_of(*STATES),
    "pilot": _one_of("A", "B1", "B2", "C1", "C2", "D1", "D2", "E", "F"),
    "reason": _or_null(_CODE_AND_TEXT),
    "cable": _object(
        {"plugged": _bool, "locked": _bool, "rating_a": _or_null(_number(0, 100))},
    ),
    "session": _or_null(
        _object(
            {
                "id": _COUNT,
                "energy_wh": _COUNT,
                "duration_s": _COUNT,
                "started_at": _or_null(_utc),
                "key": _or_null(_text(32)),
            }
        )
    ),
    "limit_a": _number(0, 100),
    "offline_since_s": _or_null(_COUNT),
    "policy": _text(32),
    "faults": _list(_text(32), 32),
    "clock": _object({"utc": _or_null(_utc), "quality": _one_of(*QUALITIES)}),
    "journal": _object(
        {
            "pending": _COUNT,
            "capacity": _COUNT,
            "percent": _number(0, 100),
            "notice": _or_null(_text(300)),
        }
    ),
    "firmware": _text(32, 1),
}


_JOURNAL = {"epoch": _COUNT, "acked": _COUNT, "last_seq": _COUNT}
LAST_WILL = {"online": False}


def _check_status(message: dict[str, Any]) -> None:
    if message == LAST_WILL:
        return
    _fields(message, _STATUS, {}, "the status")
    journal_of(message)


def journal_of(status: dict[str, Any]) -> tuple[int, int, int]:
    """(epoch, acked, last_seq) of a status; Malformed without, whatever else is in it."""
    _object(_JOURNAL)(status.get("journal"), "journal")
    epoch, acked, last_seq = (status["journal"][name] for name in _JOURNAL)
    if acked > last_seq:
        raise Malformed("acked is more than last_seq")
    return epoch, acked, last_seq


def _check_records(message: dict[str, Any]) -> None:
    for record, problem in records(message)[1]:
        if problem:
            raise Malformed(f"record {record['seq']}: {problem}")


def _check_reply(message: dict[str, Any]) -> None:
    _fields(message, {"req": _req, "ok": _bool}, {}, "the reply")
    if not message["ok"]:
        _fields(message, {"error": _text(64, 1), "reason": _text(300)}, {}, "the refusal")


_COMMANDS: dict[str, tuple[dict[str, _Check], dict[str, _Check]]] = {
    "unlock": ({}, {}),
    "start": ({}, {}),
    "stop": ({}, {}),
    "reboot": ({}, {}),
    "authorize": ({"accepted": _bool}, {}),
    "limit": ({"limit_a": _number(0, 80), "for_s": _number(1, 86400)}, {}),
    "set": ({"settings": _object({})}, {}),
    "keys": ({}, {"add": _list(_key, 8), "remove": _list(_card, 8)}),
}


def _check_command(message: dict[str, Any]) -> None:
    _fields(message, {"req": _req, "do": _one_of(*_COMMANDS)}, {}, "the command")
    needed, optional = _COMMANDS[message["do"]]
    _fields(message, needed, optional, f"the command {message['do']}")
    if message["do"] == "set" and not message["settings"]:
        raise Malformed("settings names none")
    if message["do"] == "keys":
        count = len(message.get("add", ())) + len(message.get("remove", ()))
        if not 1 <= count <= 8:
            raise Malformed("keys takes 1 to 8 keys at once")


def _needs(**needed: _Check) -> Callable[[dict[str, Any]], None]:
    return lambda message: _fields(message, needed, {}, "the message")


_CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "status": _check_status,
    "sessions": _check_records,
    "events": _check_records,
    "authorize": _needs(req=_req, uid=_card),
    "reply": _check_reply,
    "ack": _needs(epoch=_number(1, _MOST), through=_COUNT),
    "grant": _needs(records=_COUNT),
    "command": _check_command,
    "fleet/heartbeat": _needs(utc=_utc),
    "fleet/window": _needs(window_s=_number(1, LONGEST_WINDOW_S), strict_first=_bool),
    "fleet/offline": _needs(until=_utc, reason=_text(64)),
}


def parse(suffix: str, payload: bytes) -> dict[str, Any]:
    """The JSON object in the payload of a topic that ends in `suffix`; Malformed if it is none."""
    longest = _LONGEST_UP.get(suffix, LONGEST_DOWN)
    if len(payload) > longest:
        raise Malformed(f"the message has {len(payload)} bytes: {longest} are allowed")
    try:
        message = json.loads(payload.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # UnicodeDecodeError is one, too
        raise Malformed("the message is no JSON in UTF-8") from None
    if not isinstance(message, dict):
        raise Malformed("the message must be a JSON object")
    _check_depth(message, _DEEPEST)
    return message


def check(suffix: str, payload: bytes) -> dict[str, Any]:
    """The message in the payload of a topic that ends in `suffix`: "status", "fleet/window" ...

    Raises Malformed with a sentence if it does not keep the contract. The empty payload of
    `fleet/offline` is {}.
    """
    if suffix not in _CHECKS:
        raise Malformed(f"there is no topic {suffix}")
    if suffix == "fleet/offline" and not payload:
        return {}
    message = parse(suffix, payload)
    _CHECKS[suffix](message)
    return message


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _check_depth(value: Any, left: int) -> None:
    if isinstance(value, (dict, list)):
        if not left:
            raise Malformed("the message is nested too deeply")
        for item in value.values() if isinstance(value, dict) else value:
            _check_depth(item, left - 1)
