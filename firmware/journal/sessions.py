"""Sessions newest first, for the page: a sector at a time, backwards.

Acked sessions are listed as well until they are overwritten. Records can only be read forwards: a
first pass through a sector marks each 32nd place, and from the last mark to the first the records
behind it are found again. So a few hundred bytes are in memory however long a sector is.
"""

import sys
from array import array

from micropython import const

from firmware.briefly import briefly

_FOOTER = const(8)
_APART = const(32)  # records from mark to mark
_TOGETHER = const(8)  # records that are passed over at once
_CURSOR = "firmware.journal.cursor"
_FIELDS = "firmware.journal.fields"
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
    where that was lost, or has not happened yet. Who stops before its end must close it.
    """
    lent = []
    try:
        # It takes long: who reads the journal meanwhile shares these instead of loading its own.
        for name in (_CURSOR, _FIELDS):
            if name not in sys.modules:
                sys.modules[name] = briefly(name)
                lent.append(name)
        for one in _backwards(journal, before or journal.last_seq + 1):
            yield one
    finally:
        for name in lent:
            del sys.modules[name]


def _backwards(journal, before):
    unpack = sys.modules[_FIELDS].unpack
    cursor = sys.modules[_CURSOR].Cursor(journal, 1)
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
        marks = array("H")
        count = 0
        limit = journal.offset if sector == journal.head else journal.store.size - _FOOTER
        while True:
            place = cursor.offset
            found = cursor.find(limit)
            if not found:
                break
            if found > 0:
                if not count % _APART:
                    marks.append(place)
                count += 1
            if found < 0 or not count % _TOGETHER:
                yield None
        for mark in range(len(marks) - 1, -1, -1):
            places = []
            cursor.offset = marks[mark]
            cursor.forget()
            count = 0
            while True:
                found = cursor.find(marks[mark + 1] if mark + 1 < len(marks) else limit)
                if not found:
                    break
                count += 1
                if found > 0 and cursor.kind in (_START, _END, _CLOSED):
                    if least <= cursor.record_seq < before:
                        places.append(cursor.offset - cursor.buffer[cursor.at])
                if found < 0 or not count % _TOGETHER:
                    yield None
            while places and layout == journal.layout:
                cursor.offset = places.pop()
                cursor.forget()
                if cursor.find(limit) <= 0:
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
            if layout != journal.layout:
                break  # sectors have moved: look again, from the same number on
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
