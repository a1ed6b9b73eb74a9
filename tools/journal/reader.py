"""All that a journal holds, as dicts: records, and ranges that are lost."""

from __future__ import annotations

import csv
import datetime
import io
import json

from tools.journal import images  # first: it brings what the firmware's modules import

from firmware.journal import cursor as reading  # isort: skip
from firmware.journal import fields, recovery, times
from firmware.journal.journal import COMPACT, LOG, Journal

_2000 = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_QUALITIES = ("unknown", "phone", "cloud", "ntp")
_COMMON = ("seq", "kind", "boot", "uptime_s", "utc", "quality", "uncertain")


def read(store, from_seq=None):
    """{"epoch", "last_seq", "acked", "notice", "records"}; JournalError if there is no journal.

    From the oldest record that is still there, acked or not. A record has seq, kind, boot,
    uptime_s, utc (text, or None: then not_before and not_after where known), quality, uncertain
    and the fields of its kind; a lost range is {"seq", "lost": [first, last], "why"}.
    """
    journal = Journal(store)
    recovery.survey(journal)
    if journal.refusal:
        raise images.JournalError(journal.refusal)
    if journal.head < 0:
        raise images.JournalError("there is no journal")
    starts = [journal.first[i] for i, state in enumerate(journal.state) if state in (LOG, COMPACT)]
    first = min([*starts, journal.acked + 1])
    cursor = reading.Cursor(journal, from_seq or first)
    records = []
    while (what := cursor.step()) != reading.AT_END:
        if what == reading.RECORD:
            records.append(fields.unpack(cursor))
        elif what == reading.LOST:
            lost = [cursor.lost_from, cursor.lost_to]
            records.append({"seq": cursor.lost_to, "lost": lost, "why": cursor.why})
    boots = times.boots(records)
    return {
        "epoch": journal.epoch,
        "last_seq": journal.last_seq,
        "acked": journal.acked,
        "notice": journal.notice,
        "records": [_shown(times.place(record, boots)) for record in records],
    }


def _text(seconds):
    if seconds is None:
        return None
    return (_2000 + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(record):
    if "lost" in record:
        return record
    shown = {name: record[name] for name in ("seq", "kind", "boot", "uptime_s")}
    shown["utc"] = _text(record["utc_s"])
    shown["quality"] = _QUALITIES[record["quality"]]
    shown["uncertain"] = record["uncertain"]
    for name, value in record.items():
        if name in shown or name == "utc_s":
            continue
        if name in ("not_before_s", "not_after_s"):
            name, value = name[:-2], _text(value)
        shown[name] = value.hex().upper() if isinstance(value, bytes) else value
    return shown


def as_json(content):
    return json.dumps(content, indent=1) + "\n"


def as_csv(content):
    """One line a record; a lost range fills lost_from, lost_to and why."""
    rows = []
    names = list(_COMMON)
    for record in content["records"]:
        row = dict(record)
        if "lost" in row:
            row["kind"] = "lost"
            row["lost_from"], row["lost_to"] = row.pop("lost")
        rows.append(row)
        names += [name for name in row if name not in names]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_table(content):
    """For people: what is missing stands between the records, marked by asterisks."""
    lines = [f"{'seq':>7}  {'when':<22} {'boot':>5} {'uptime':>9}  what"]
    for record in content["records"]:
        if "lost" in record:
            first, last = record["lost"]
            n = last - first + 1
            lines.append(f"{first:>7}  *** {n} missing, up to {last}: {record['why']} ***")
            continue
        when = record["utc"] or _bounds(record)
        what = " ".join(
            f"{name}={value}"
            for name, value in record.items()
            if name not in (*_COMMON, "not_before", "not_after") and value is not None
        )
        lines.append(
            f"{record['seq']:>7}  {when:<22} {record['boot']:>5} {record['uptime_s']:>8}s"
            f"  {record['kind']} {what}".rstrip()
        )
    pending = content["last_seq"] - content["acked"]
    lines.append(f"epoch {content['epoch']}: up to {content['last_seq']}, {pending} not acked")
    if content["notice"]:
        lines.append(content["notice"])
    return "\n".join(lines) + "\n"


def _bounds(record):
    before, after = record.get("not_before"), record.get("not_after")
    if before and after:
        return f"{before[:10]} .. {after[:10]}"
    if before:
        return f"after {before[:10]}"
    return f"before {after[:10]}" if after else "unknown"


FORMATS = {"table": as_table, "json": as_json, "csv": as_csv}
