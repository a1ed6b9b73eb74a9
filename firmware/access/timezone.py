"""The local time of a place, from a POSIX TZ rule such as `CET-1CEST,M3.5.0,M10.5.0/3`.

A rule holds for every year: it says nothing of how a law was, or will be, another one. How it is
written stands in timezone_text.py.
"""


class Timezone:
    """What to add to UTC, in seconds. Times are UTC in seconds since 2000-01-01 00:00.

    `rule` is what timezone_text.parse returns. Between two changes of the clock nothing is
    computed.
    """

    def __init__(self, rule):
        self._standard_s, self._summer_s, self._start, self._end = rule
        self._offset_s = self._standard_s
        self._from_s = self._until_s = 0

    def offset_s(self, utc_s):
        """Seconds to add to `utc_s` for the local time; negative in the west."""
        if self._start is not None and not self._from_s <= utc_s < self._until_s:
            self._look(utc_s)
        return self._offset_s

    def next_change_s(self, utc_s):
        """The next second, after `utc_s`, at which the clock is changed; None: it never is."""
        if self._start is None:
            return None
        self.offset_s(utc_s)
        return self._until_s

    def _look(self, utc_s):
        # Five years, since a change may be moved into another year by up to a week. Where daylight
        # saving time ends in the second in which it starts anew, it goes on.
        day = utc_s // 86400
        year = 2000 + day * 400 // 146097
        while _new_year(year) > day:
            year -= 1
        while _new_year(year + 1) <= day:
            year += 1
        last_s = next_s = None
        for y in range(year - 2, year + 3):
            change_s = _day(y, self._end) * 86400 + self._end[3] - self._summer_s
            if change_s > utc_s:
                if next_s is None or change_s < next_s:
                    next_s = change_s
            elif last_s is None or change_s > last_s:
                last_s = change_s
                self._offset_s = self._standard_s
            change_s = _day(y, self._start) * 86400 + self._start[3] - self._standard_s
            if change_s > utc_s:
                if next_s is None or change_s < next_s:
                    next_s = change_s
            elif last_s is None or change_s >= last_s:
                last_s = change_s
                self._offset_s = self._summer_s
        self._from_s = last_s
        self._until_s = next_s


def _new_year(year):
    """Days from 2000-01-01 to 1 January of `year`."""
    y = year - 1
    return 365 * (year - 2000) + y // 4 - y // 100 + y // 400 - 484


def _day(year, rule):
    """Days from 2000-01-01 to the day of `rule` in `year`."""
    month, week, weekday, _ = rule
    first = _new_year(year)
    leap = _new_year(year + 1) - first - 365
    if not month:  # n counts 29 February; Jn, marked by a weekday, does not and starts at 1
        if weekday and (week < 60 or not leap):
            week -= 1
        return first + week
    if week == 5:  # the last one: go back from the next month's first day
        month += 1
    first += (367 * month - 362) // 12
    if month > 2:
        first += leap - 2
    ahead = (weekday - first - 6) % 7  # 2000-01-01 was a Saturday, 6
    return first + ahead - 7 if week == 5 else first + ahead + 7 * (week - 1)
