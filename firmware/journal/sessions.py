"""Sessions newest first, for the page: a sector at a time, backwards.

Acked sessions are listed as well until they are overwritten. One sector's places of records are in
memory, nothing else grows.
"""

from array import array

from micropython import const

from firmware.briefly import briefly

_FOOTER = const(8)
_LOG = const(2)
_COMPACT = const(3)
_START = const(3)
_END = const(5)
_CLOSED = const(6)


def sessions(journal, before=None):
    """Yield a dict for each session, newest first, and None where others should have their turn.

    `before` is the "seq" of a session: only older ones come. A session has `boot` and `session`
    (together they name it), `seq`, `acked`, and from its start `key`, `how`, `uptime_s`, `utc_s`
    (since 2000) and `quality`, from its end `energy_wh`, `duration_s`, `estimated`, `reason`: None
    where that was lost, or has not happened yet.
    """
    unpack = briefly("firmware.journal.fields").unpack
    cursor = briefly("firmware.journal.cursor").Cursor(journal, 1)
    before = before or journal.last_seq + 1
    end = None
    while True:
        layout = journal.layout
        sector = _below(journal, before)
        if sector < 0:
            break
        kind = journal.state[sector]
        least = journal.first[sector]
        if kind == _LOG:
            least = max(least, journal.compacted + 1)
        if not cursor.enter(sector):
            before = least
            continue
        places = array("H")
        newest = sector == journal.head
        while True:
            found = cursor.find(journal.offset if newest else journal.store.size - _FOOTER)
            if not found:
                break
            if found > 0 and cursor.kind in (_START, _END, _CLOSED):
                if least <= cursor.record_seq < before:
                    places.append(cursor.offset - cursor.buffer[cursor.at])
            elif found < 0:
                yield None
        yield None
        for k in range(len(places) - 1, -1, -1):
            if layout != journal.layout:
                break  # sectors have moved: look again, from the same number on
            cursor.offset = places[k]
            cursor.forget()
            if cursor.find(journal.store.size - _FOOTER) <= 0:
                continue
            before = cursor.record_seq
            record = unpack(cursor)
            if cursor.kind == _START:
                if end and (end["boot"], end["session"]) != (record["boot"], record["session"]):
                    yield end
                    end = None
                yield _joined(journal, record, end)
                end = None
            else:
                if end:
                    yield end
                end = _joined(journal, None, record)
        else:
            before = least
    if end:
        yield end


def _below(journal, before):
    """The sector with the numbers right below `before`, or -1."""
    best = -1
    for i in range(len(journal.state)):
        kind = journal.state[i]
        if kind == _LOG and before <= journal.compacted + 1:
            continue
        if (
            (kind == _LOG or kind == _COMPACT)
            and journal.first[i] < before
            and (best < 0 or journal.first[i] > journal.first[best])
        ):
            best = i
    return best


def _joined(journal, start, end):
    """One dict of a session's start and its end; either may be None."""
    whole = {
        "session": 0,
        "seq": 0,
        "key": None,
        "how": None,
        "uptime_s": None,
        "utc_s": None,
        "quality": 0,
        "energy_wh": None,
        "duration_s": None,
        "estimated": False,
        "reason": None,
    }
    if end:
        for name in ("seq", "session", "energy_wh", "duration_s", "estimated", "reason"):
            whole[name] = end[name]
        whole["boot"] = end.get("session_boot") or end["boot"]
    if start:
        for name in ("seq", "boot", "session", "key", "how", "uptime_s", "utc_s", "quality"):
            whole[name] = start[name]
    whole["acked"] = whole["seq"] <= journal.acked
    return whole
