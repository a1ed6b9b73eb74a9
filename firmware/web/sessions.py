"""Sessions from the journal, newest first: a page of 20 as JSON, or all of them as CSV.

Paged by number: what is recorded meanwhile moves nothing from one page to another.
"""

import json

from micropython import const

from firmware.briefly import briefly
from firmware.clock import text
from firmware.web.server import error

_PAGE = const(20)
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
    count = 0
    lead = b'{"sessions": ['
    several = _sessions(charger, before)
    try:
        for one in several:
            if one is None:
                yield None
                continue
            if count == _PAGE:
                break
            count += 1
            before = one["seq"]
            yield lead + json.dumps(one).encode()
            lead = b",\n"
        else:
            before = None
    finally:
        several.close()  # nobody else does, and it gives back what it was lent
    if not count:
        yield lead
    yield b'], "next": ' + json.dumps(before).encode() + b"}"


def _table(charger):
    yield _COLUMNS.encode() + b"\r\n"
    several = _sessions(charger, 0)
    try:
        for one in several:
            if one is not None:
                cells = [
                    "" if cell is None else str(cell) for cell in map(one.get, _COLUMNS.split(","))
                ]
                one = ",".join(cells).encode() + b"\r\n"
            yield one
    finally:
        several.close()


def _sessions(charger, before):
    """As the journal has them, with the time as text, and as well known as it is by now."""
    clock = charger.clock
    several = briefly("firmware.journal.sessions").sessions(charger.recorder.journal, before)
    try:
        for one in several:
            if one is not None:
                utc_s = one.pop("utc_s")
                one["started_at"] = None if utc_s is None else text(utc_s)
                if utc_s is None and one["boot"] == clock.boot and one["uptime_s"] is not None:
                    one["started_at"] = clock.utc_at(one["uptime_s"])
                    one["quality"] = clock.quality_number()
                if one["key"]:
                    one["key"] = one["key"].hex().upper()
            yield one
    finally:
        several.close()
