"""Records that are no sessions, newest first: faults, unlocks, settings, security, starts.

As the cloud gets them; for who helps from afar. A page has 20 at the most, or what the newest 512
records hold; "next" tells where the next page begins.
"""

import json

from micropython import const

from firmware.briefly import briefly
from firmware.clock import text
from firmware.journal.journal import LOG
from firmware.web.server import error

_PAGE = const(20)
_READ = const(16)  # records at a time: the journal is read forwards, and what these say is kept
_ROUNDS = const(32)
_SESSION = ("session_start", "checkpoint", "session_end", "session_closed")


async def get(charger, request):
    """?before=SEQ: those older than that one."""
    query = request.query
    before = query[7:] if query[:7] == "before=" else "0" if query else "999999999"
    if not before.isdigit() or len(before) > 9 or int(before) < 1:
        return error(400, "InvalidQuery")
    return 200, "application/json", _page(charger, int(before)), ""


def _page(charger, before):
    journal = charger.recorder.journal
    before = min(before, journal.last_seq + 1)
    # Of what lies before only sessions were kept, or nothing.
    oldest = journal.oldest(LOG)
    least = max(journal.compacted + 1, journal.first[oldest] if oldest >= 0 else before)
    lead = '{"events": ['
    left = _PAGE
    rounds = _ROUNDS
    while left and rounds and before > least:
        rounds -= 1
        first = max(least, before - _READ)
        found = []
        for record in _records(charger, first, before):
            if record is None:
                yield None
            else:
                found.append((record["seq"], json.dumps(record)))
        while found and left:
            left -= 1
            before, line = found.pop()
            yield (lead + line).encode()
            lead = ",\n"
        if left:
            before = first
    if lead[0] == "{":
        yield lead.encode()
    yield b'], "next": ' + json.dumps(before if before > least else None).encode() + b"}"


def _records(charger, first, before):
    """Those from `first` to below `before`, and None where others should have their turn."""
    reading = briefly("firmware.journal.cursor")
    unpack = briefly("firmware.journal.fields").unpack
    clock = charger.clock
    cursor = reading.Cursor(charger.recorder.journal, first)
    while cursor.seq < before:
        what = cursor.step()
        if what == reading.AT_END:
            break
        if what == reading.LOST and cursor.why == "Damaged":
            lost = (cursor.lost_from, min(cursor.lost_to, before - 1))
            yield {"seq": cursor.lost_from, "lost": lost, "why": cursor.why}
        elif what == reading.RECORD:
            record = unpack(cursor)
            if record["kind"] not in _SESSION:
                utc_s = record.pop("utc_s")
                record["utc"] = None if utc_s is None else text(utc_s)
                if utc_s is None and record["boot"] == clock.boot:
                    record["utc"] = clock.utc_at(record["uptime_s"])
                if "raw" in record:
                    record["raw"] = record["raw"].hex().upper()
                yield record
        yield None
