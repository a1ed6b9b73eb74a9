"""What the database knows: sessions, which of them are complete, and what is missing.

A session is complete when its start and its end are there. What is missing is told apart: "missing"
may still come (a gap in the numbers), "lost" will not (the charger says so). Times that the charger
did not know are worked out by the charger's own rule (firmware/journal/times.py).
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from tools.cloud import messages
from tools.cloud.store import ACKED_AND_GONE, ACKED_EARLIER, Store

from firmware.journal import times  # isort: skip

COLUMNS = (
    "charger",
    "what",
    "epoch",
    "first_seq",
    "last_seq",
    "boot",
    "session",
    "started",
    "ended",
    "not_before",
    "not_after",
    "clock",
    "energy_wh",
    "duration_s",
    "estimated",
    "how",
    "key",
    "reason",
    "complete",
    "note",
)
_END_KINDS = ("session_end", "session_closed")


def rows(
    store: Store, charger: str | None = None, from_s: float | None = None, to_s: float | None = None
) -> list[dict[str, Any]]:
    """Everything that is to be reported, a dict with some of COLUMNS for each.

    `what` is session, gap, lost, conflict, unreadable, malformed, new epoch, or same id. With
    `from_s` and `to_s` (seconds since 1970) only sessions that may have begun from the one until
    before the other; all the rest is always there, since it may hide one.
    """
    with store.snapshot():
        found: list[dict[str, Any]] = []
        for its in store.chargers():
            if charger is None or its["id"] == charger:
                found += _of_charger(store, its, from_s, to_s)
        return found


def _of_charger(
    store: Store, its: Any, from_s: float | None, to_s: float | None
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    epochs = store.db.execute(
        "SELECT * FROM epochs WHERE charger = ? ORDER BY first_s, epoch", (its["id"],)
    ).fetchall()
    for number, epoch in enumerate(epochs):
        present = epoch["epoch"] == its["epoch"]
        if number:
            found.append(_new_epoch(epoch, epochs[number - 1]))
        if epoch["returns"]:
            found.append(_same_id(epoch))
        records = _records(store, epoch)
        missing, lost = _holes(store, epoch, records)
        for session in _sessions(records, missing, lost, present):
            if _within(session, from_s, to_s):
                found.append({**_of(epoch), "what": "session", **session})
        found += [_gap(epoch, hole, present) for hole in missing]
        found += [_lost(epoch, hole) for hole in lost]
        found += _odd(store, epoch)
    if its["refused"]:
        note = f"{its['refused']} messages did not keep the contract; the last: {its['refusal']}"
        found.append({"charger": its["id"], "what": "malformed", "note": note})
    return found


def _of(epoch: Any) -> dict[str, Any]:
    return {"charger": epoch["charger"], "epoch": epoch["epoch"]}


def _records(store: Store, epoch: Any) -> list[dict[str, Any]]:
    """The records of an epoch by their number, with the times that can be worked out."""
    query = (
        "SELECT seq, kind, boot, uptime_s, utc_s, quality,"
        " CASE WHEN kind GLOB 'session_*' OR kind = 'checkpoint' THEN content END AS content"
        " FROM records WHERE charger = ? AND epoch = ? ORDER BY seq"
    )
    records = []
    for row in store.db.execute(query, (epoch["charger"], epoch["epoch"])):
        record = dict(row)
        if record["boot"] is None:
            del record["boot"]  # nothing but its number is known
        if content := record.pop("content"):
            record.update({k: v for k, v in json.loads(content).items() if k not in record})
        records.append(record)
    boots = times.boots(records)
    return [times.place(record, boots) for record in records]


def _holes(
    store: Store, epoch: Any, records: list[dict[str, Any]]
) -> tuple[list[tuple[int, int]], list[tuple[int, int, str]]]:
    """(ranges that may still come, ranges that will not and why) of an epoch."""
    told = store.db.execute(
        "SELECT first, last, why FROM lost WHERE charger = ? AND epoch = ? ORDER BY first, last",
        (epoch["charger"], epoch["epoch"]),
    ).fetchall()
    here = [record["seq"] for record in records]
    last = max([epoch["last_seq"], *here[-1:], *(row["last"] for row in told)])
    free = []  # between the records
    at = 1
    for seq in [*here, last + 1]:
        if seq > at:
            free.append((at, seq - 1))
        at = seq + 1
    # What the charger says of a number counts more than what was assumed of a whole range.
    missing, lost = _fill(free, [row for row in told if row["why"] != ACKED_EARLIER])
    missing, assumed = _fill(missing, [row for row in told if row["why"] == ACKED_EARLIER])
    return missing, sorted(lost + assumed)


def _fill(
    holes: list[tuple[int, int]], told: list[Any]
) -> tuple[list[tuple[int, int]], list[tuple[int, int, str]]]:
    """What of the holes is not in the ranges `told`, which are in order, and what is, and why."""
    missing: list[tuple[int, int]] = []
    lost: list[tuple[int, int, str]] = []
    for first, end in holes:
        at = first
        for row in told:
            if row["last"] < at or row["first"] > end:
                continue
            if row["first"] > at:
                missing.append((at, row["first"] - 1))
                at = row["first"]
            lost.append((at, min(row["last"], end), row["why"]))
            at = min(row["last"], end) + 1
        if at <= end:
            missing.append((at, end))
    return missing, lost


def _sessions(records, missing, lost, present: bool) -> list[dict[str, Any]]:
    found: dict[tuple[int, int], dict[str, dict[str, Any]]] = {}
    for record in records:
        if record["kind"] not in messages.SESSION_KINDS:
            continue
        boot = record["boot"]
        part = "end" if record["kind"] in _END_KINDS else record["kind"]
        if record["kind"] == "session_closed":
            boot = record["session_boot"]
        parts = found.setdefault((boot, record["session"]), {})
        # Of two ends the first counts; a checkpoint is only of interest without an end.
        if part == "checkpoint" or part not in parts:
            parts[part] = record
    ordered = sorted(found.items(), key=lambda item: min(r["seq"] for r in item[1].values()))
    shown = []
    for number, ((boot, session), parts) in enumerate(ordered):
        its = [record["seq"] for record in parts.values()]
        before = max(r["seq"] for r in ordered[number - 1][1].values()) if number else 0
        newest = number + 1 == len(ordered)
        after = None if newest else min(r["seq"] for r in ordered[number + 1][1].values())
        row = {"boot": boot, "session": session, "first_seq": min(its), "last_seq": max(its)}
        row.update(_times(parts))
        row.update(_figures(parts))
        if "session_start" not in parts:
            row["complete"] = _why_not("start", before, min(its), missing, lost)
        elif "end" in parts:
            row["complete"] = "yes"
        else:
            row["complete"] = _why_not("end", max(its), after, missing, lost)
            if newest and present and row["complete"] == "no end":
                row["complete"] = "running"
        shown.append(row)
    return shown


def _why_not(part: str, after: int, before: int | None, missing, lost) -> str:
    """Why a session has no `part`, which would be between these two numbers."""

    def overlaps(hole) -> bool:
        return hole[1] > after and (before is None or hole[0] < before)

    if any(map(overlaps, missing)):
        return f"{part} missing"
    return f"{part} lost" if any(map(overlaps, lost)) else f"no {part}"


def _times(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """When it began and ended, as well as that is known."""
    start, end = parts.get("session_start"), parts.get("end")
    last = end or parts.get("checkpoint")
    own_end = end is not None and end["kind"] == "session_end"
    duration_s = last["duration_s"] if last else None
    started_s = start["utc_s"] if start else None
    ended_s = end["utc_s"] if end is not None and own_end else None
    if started_s is None and last and last["kind"] != "session_closed" and last["utc_s"]:
        started_s = last["utc_s"] - last["duration_s"]
    if ended_s is None and end is not None and started_s is not None:
        ended_s = started_s + duration_s
    known = start or last
    row = {
        "started": _text(started_s),
        "ended": _text(ended_s),
        "clock": messages.QUALITIES[0 if started_s is None else known["quality"]],
    }
    if started_s is None:
        row["not_before"] = _text(known.get("not_before_s"))
        row["not_after"] = _text(known.get("not_after_s"))
    return row


def _figures(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    start, last = parts.get("session_start", {}), parts.get("end") or parts.get("checkpoint") or {}
    return {
        "energy_wh": last.get("energy_wh"),
        "duration_s": last.get("duration_s"),
        "estimated": last.get("estimated"),
        "how": start.get("how"),
        "key": start.get("key"),
        "reason": last.get("reason"),
    }


def _text(unix_s: float | None) -> str | None:
    return None if unix_s is None else messages.utc_text(unix_s)


def _within(session: dict[str, Any], from_s: float | None, to_s: float | None) -> bool:
    """Whether it may have begun in that time; what is not known counts as possible."""
    earliest = session["started"] or session.get("not_before")
    latest = session["started"] or session.get("not_after")
    # As texts: a charger may have told times that no clock of ours knows.
    too_early = from_s is not None and latest and latest < messages.utc_text(from_s)
    too_late = to_s is not None and earliest and earliest >= messages.utc_text(to_s)
    return not (too_early or too_late)


def _gap(epoch: Any, hole: tuple[int, int], present: bool) -> dict[str, Any]:
    note = "still to come" if present else "of an epoch that was left: it may never come"
    return {**_of(epoch), "what": "gap", "first_seq": hole[0], "last_seq": hole[1], "note": note}


def _lost(epoch: Any, hole: tuple[int, int, str]) -> dict[str, Any]:
    first, last, why = hole
    note = why if why.startswith(ACKED_EARLIER) else f"the charger says: {why}"
    return {**_of(epoch), "what": "lost", "first_seq": first, "last_seq": last, "note": note}


def _new_epoch(epoch: Any, before: Any) -> dict[str, Any]:
    note = (
        f"the journal was formatted: it counts anew since {_text(epoch['first_s'])};"
        f" epoch {before['epoch']} had come to {before['last_seq']}"
    )
    return {**_of(epoch), "what": "new epoch", "note": note}


def _same_id(epoch: Any) -> dict[str, Any]:
    note = (
        f"this epoch came back {epoch['returns']} times after another one:"
        " two chargers with one id, or an old copy of a journal"
    )
    return {**_of(epoch), "what": "same id", "note": note}


def _odd(store: Store, epoch: Any) -> list[dict[str, Any]]:
    """Conflicts, and records that were kept though they could not be understood."""
    key = (epoch["charger"], epoch["epoch"])
    found = []
    for row in store.db.execute(
        "SELECT seq, sum(times) AS times FROM conflicts WHERE charger = ? AND epoch = ?"
        " GROUP BY seq ORDER BY seq",
        key,
    ):
        note = f"came {row['times']} times with other content; the first is kept, and the others"
        place = {"first_seq": row["seq"], "last_seq": row["seq"]}
        found.append({**_of(epoch), "what": "conflict", **place, "note": note})
    for row in store.db.execute(
        "SELECT seq, problem FROM records WHERE charger = ? AND epoch = ? AND problem NOT NULL"
        " ORDER BY seq",
        key,
    ):
        place = {"first_seq": row["seq"], "last_seq": row["seq"]}
        found.append({**_of(epoch), "what": "unreadable", **place, "note": row["problem"]})
    return found


def notes(store: Store, charger: str) -> list[str]:
    """What an operator must know of a charger beside its state, in a few words each."""
    found = []
    where = " WHERE charger = ?"
    epochs, returns = store.db.execute(
        "SELECT count(*), coalesce(sum(returns), 0) FROM epochs" + where, (charger,)
    ).fetchone()
    if returns:
        found.append(f"two chargers with this id? {epochs} journals take turns")
    elif epochs > 1:
        found.append("journal formatted" + (f" {epochs - 1} times" if epochs > 2 else ""))
    for row in store.db.execute("SELECT epoch FROM epochs" + where, (charger,)).fetchall():
        missing = store.to_refill(charger, row["epoch"])[1]
        if missing:
            found.append(f"this database lost {missing} records; the charger may have them")
    gone = store.db.execute(
        "SELECT count(*) FROM lost" + where + " AND why = ?", (charger, ACKED_AND_GONE)
    ).fetchone()[0]
    if gone:
        found.append("records that an earlier database had are gone")
    return found


# For programs and for people


def as_csv(found: list[dict[str, Any]]) -> str:
    """One line for each, all columns. No text can be taken for a formula by a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in found:
        writer.writerow([_cell(row.get(name)) for name in COLUMNS])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@"):
        return "'" + value
    return value


def sessions_table(found: list[dict[str, Any]]) -> str:
    """The sessions among the rows, for people."""
    lines = []
    for row in found:
        if row["what"] != "session":
            continue
        energy = "" if row["energy_wh"] is None else f"{row['energy_wh'] / 1000:.2f}"
        lines.append(
            (
                row["charger"],
                row["started"] or _bounds(row),
                _duration(row["duration_s"]),
                energy + ("~" if row["estimated"] else ""),
                row["key"] or row["how"] or "",
                row["reason"] or "",
                row["clock"],
                row["complete"],
            )
        )
    head = ("charger", "started (UTC)", "took", "kWh", "key", "ended by", "clock", "complete")
    return table(head, lines)


def as_table(found: list[dict[str, Any]]) -> str:
    """Sessions, then what is missing or odd, then sums."""
    sessions = [row for row in found if row["what"] == "session"]
    others = [row for row in found if row["what"] != "session"]
    text = sessions_table(sessions)
    if others:
        lines = [(row["charger"], row["what"], _range(row), row["note"]) for row in others]
        text += "\n" + table(("charger", "what", "seq", "note"), lines)
    complete = sum(row["complete"] == "yes" for row in sessions)
    energy = sum(row["energy_wh"] or 0 for row in sessions) / 1000
    text += f"\n{len(sessions)} sessions, {complete} of them complete, {energy:.2f} kWh"
    clocks = [row["clock"] for row in sessions]
    told = ", ".join(
        f"{clocks.count(name)} {name}" for name in reversed(messages.QUALITIES) if name in clocks
    )
    text += f"; clocks: {told}\n" if told else "\n"
    missing = sum(row["last_seq"] - row["first_seq"] + 1 for row in others if row["what"] == "gap")
    lost = sum(row["last_seq"] - row["first_seq"] + 1 for row in others if row["what"] == "lost")
    if missing or lost:
        text += f"{missing} records are missing and may still come, {lost} are lost\n"
    return text


def _range(row: dict[str, Any]) -> str:
    first, last = row.get("first_seq"), row.get("last_seq")
    if first is None:
        return f"epoch {row['epoch']}" if "epoch" in row else ""
    return str(first) if first == last else f"{first}..{last}"


def _bounds(row: dict[str, Any]) -> str:
    before, after = row.get("not_before"), row.get("not_after")
    if before and after:
        return f"{before[:10]} .. {after[:10]}"
    return f"after {before[:10]}" if before else f"before {after[:10]}" if after else "unknown"


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def table(head: tuple[str, ...], lines: list[tuple[Any, ...]]) -> str:
    """Columns as wide as they have to be."""
    cells = [
        head,
        *(tuple("" if value is None else str(value) for value in line) for line in lines),
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in cells
    )
