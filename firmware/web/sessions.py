"""Sessions from the journal, newest first: a page of 20 as JSON, or all of them as CSV.

Paged by number: what is recorded meanwhile moves nothing from one page to another. While an answer
is on its way, nothing is in memory but the few rows that were made last: whoever downloads a table
over a weak WiFi for minutes leaves the others their memory.
"""

import json

from micropython import const

from firmware.briefly import briefly
from firmware.clock import text
from firmware.web.server import error

_PAGE = const(20)
_PIECE = const(512)
_TRIES = const(50)  # a tenth of a second apart
_JOURNAL = "firmware.journal.sessions"
_COLUMNS = (
    "boot,session,started_at,quality,uptime_s,duration_s,energy_wh,estimated,key,how,reason,seq"
)


async def get(charger, request):
    """?before=SEQ: those older than that one; ?format=csv: all of them as a table."""
    query = request.query
    if query == "format=csv":
        name = "Content-Disposition: attachment; filename={}-sessions.csv\r\n".format(charger.id)
        return 200, "text/csv; charset=utf-8", _table(charger), name
    before = query[7:] if query[:7] == "before=" else "1" if query else "0"
    if not before.isdigit() or len(before) > 9 or query and int(before) < 2:
        return error(400, "InvalidQuery")
    return 200, "application/json", _page(charger, int(before)), ""


def _page(charger, before):
    lead = '{"sessions": ['
    seqs = []

    def row(one):
        if len(seqs) >= _PAGE:
            seqs.append(0)  # there are more
            return ""
        seqs.append(one["seq"])
        return (lead if len(seqs) == 1 else ",\n") + json.dumps(one)

    place = briefly(_JOURNAL).begin(charger.recorder.journal, before)
    while place[0] and len(seqs) <= _PAGE:
        for piece in _rows(charger, place, row):
            yield piece
    if not seqs:
        yield lead.encode()
    more = seqs[_PAGE - 1] if len(seqs) > _PAGE else None
    yield b'], "next": ' + json.dumps(more).encode() + b"}"


def _table(charger):
    yield _COLUMNS.encode() + b"\r\n"
    place = briefly(_JOURNAL).begin(charger.recorder.journal)
    left = _TRIES
    while place[0]:
        then = list(place)
        try:
            for piece in _rows(charger, place, _line):
                yield piece
            left = _TRIES
        except MemoryError:
            # Before its first piece: the same rows once more, when others have let go of theirs.
            left -= 1
            if not left:
                raise
            place[:] = then
            yield False


def _line(one):
    cells = [one[name] for name in _COLUMNS.split(",")]
    return ",".join(["" if cell is None else str(cell) for cell in cells]) + "\r\n"


def _rows(charger, place, row):
    """The next few sessions: None while they are looked for, then pieces of what `row` made."""
    clock = charger.clock
    made = []
    for one in briefly(_JOURNAL).some(charger.recorder.journal, place):
        if one is not None:
            # The time as text, and as well known as it is by now.
            utc_s = one.pop("utc_s")
            one["started_at"] = None if utc_s is None else text(utc_s)
            if utc_s is None and one["boot"] == clock.boot and one["uptime_s"] is not None:
                one["started_at"] = clock.utc_at(one["uptime_s"])
                one["quality"] = clock.quality_number()
            if one["key"]:
                one["key"] = one["key"].hex().upper()
            one = row(one).encode()
            if made and len(made[-1]) + len(one) <= _PIECE:
                made[-1] += one
            elif one:
                made.append(one)
        yield None
    one = None
    while made:
        yield made.pop(0)
