"""Sessions newest first, for the page: a sector at a time, backwards.

Acked sessions are listed as well until they are overwritten. Records can only be read forwards: a
first pass through a sector marks each 32nd place, and from the last mark to the first the records
behind it are found again. So a few hundred bytes are in memory however long a sector is.
"""

from array import array

from micropython import const

from firmware.briefly import briefly

_FOOTER = const(8)
_APART = const(32)  # records from mark to mark
_TOGETHER = const(8)  # records that are passed over at once
_LOG = const(2)
_COMPACT = const(3)
_START = const(3)
_END = const(5)
_CLOSED = const(6)

# What a list knows between two calls of `some`, by its place
_BEFORE = const(0)  # only records before this number are still to come; 0: there are none
_HALF = const(1)  # an end whose start has not come yet, or None
_SECTOR = const(2)
_MARKS = const(3)  # of that sector, those that are still to come
_STOP = const(4)  # where the last of them ends
_LAYOUT = const(5)  # of the journal when they were made


def sessions(journal, before=None):
    """Yield a dict for each session, newest first, and None where others should have their turn.

    `before` is the "seq" of a session: only older ones come. A session has `boot` and `session`
    (together they name it), `seq`, `acked`, and from its start `key`, `how`, `uptime_s`, `utc_s`
    (since 2000) and `quality`, from its end `energy_wh`, `duration_s`, `estimated`, `reason`: None
    where that was lost, or has not happened yet.
    """
    place = begin(journal, before)
    while place[_BEFORE]:
        for one in some(journal, place):
            yield one


def begin(journal, before=None):
    """A list for `some`, which has all that it needs to go on: the rest may be forgotten."""
    return [before or journal.last_seq + 1, None, -1, (), 0, -1]


def some(journal, place):
    """The next few of `sessions`, up to sixteen; `place` is then behind them.

    No more are to come when its first number is 0.
    """
    reader = briefly("firmware.journal.reading").Reader(journal)
    yield None
    unpack = briefly("firmware.journal.fields").unpack
    yield None
    if place[_LAYOUT] != journal.layout or not place[_MARKS]:
        # Sectors have moved, or one is done: look for the next, from the same number on.
        sector = _below(journal, place[_BEFORE])
        if sector < 0:
            place[_BEFORE] = 0
            if place[_HALF]:
                yield place[_HALF]
            return
        place[_SECTOR] = sector
        place[_LAYOUT] = journal.layout
        place[_STOP] = journal.offset if sector == journal.head else journal.store.size - _FOOTER
        place[_MARKS] = marks = array("H")
        if reader.enter(sector):
            count = 0
            while True:
                at = reader.offset
                found = reader.find(place[_STOP])
                if not found:
                    break
                if found > 0:
                    if not count % _APART:
                        marks.append(at)
                    count += 1
                if found < 0 or not count % _TOGETHER:
                    yield None
        if not marks:
            place[_BEFORE] = _least(journal, sector)
            return
    sector = place[_SECTOR]
    least = _least(journal, sector)
    reader.enter(sector)
    reader.offset = place[_MARKS][-1]
    places = []
    count = 0
    while True:
        found = reader.find(place[_STOP])
        if not found:
            break
        count += 1
        if found > 0 and reader.kind in (_START, _END, _CLOSED):
            if least <= reader.record_seq < place[_BEFORE]:
                places.append(reader.offset - reader.buffer[reader.at])
        if found < 0 or not count % _TOGETHER:
            yield None
    while places:
        if place[_LAYOUT] != journal.layout:
            return
        reader.offset = places.pop()
        reader.forget()
        if reader.find(place[_STOP]) <= 0:
            continue
        record = unpack(reader)
        half = place[_HALF]
        start = reader.kind == _START
        done = half
        if (
            start
            and half
            and (half["boot"], half["session"]) == (record["boot"], record["session"])
        ):
            done = None
        else:
            half = None
        place[_BEFORE] = record["seq"]
        place[_HALF] = None if start else _joined(journal, None, record)
        if done:
            yield done
        if start:
            yield _joined(journal, record, half)
    if place[_LAYOUT] == journal.layout:
        place[_STOP] = place[_MARKS][-1]
        place[_MARKS] = place[_MARKS][:-1]
        if not place[_MARKS]:
            place[_BEFORE] = least


def _least(journal, sector):
    least = journal.first[sector]
    return max(least, journal.compacted + 1) if journal.state[sector] == _LOG else least


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
