"""The local time of a place, from a POSIX TZ rule such as `CET-1CEST,M3.5.0,M10.5.0/3`.

The form is that of POSIX.1-2017 (8.3, TZ), with names in <...>, the days `Jn` and `n`, and times of
change from -167 to 167 hours as RFC 8536 has them. Names of places (Europe/Oslo) are not known, and
a rule holds for every year: it says nothing of how a law was, or will be, another one.
Also reads the numbers of texts for the schedule.
"""

LONGEST = 64  # characters of a rule


def wrong(at, sentence):
    """The ValueError for what is wrong at index `at` of a text."""
    return ValueError(f"character {at + 1}: {sentence}")


def number(text, at, least, most, what):
    """The digits at index `at` as a number, and the index after them.

    ValueError, with the name `what`, when there are none or the number is out of its range.
    """
    end = at
    while end < len(text) and "0" <= text[end] <= "9":
        end += 1
    if end == at:
        raise wrong(at, what + " is missing")
    if end - at > 3 or not least <= int(text[at:end]) <= most:
        raise wrong(at, f"{what} must be {least} to {most}")
    return int(text[at:end]), end


class Timezone:
    """What to add to UTC, in seconds. Times are UTC in seconds since 2000-01-01 00:00.

    ValueError with a sentence for a text that is not a rule. Between two changes of the clock
    nothing is computed and nothing allocated. Nor does finding them, twice a year, allocate before
    2032; from then on it meets seconds beyond the small integers of the board, which end in 2034.
    """

    def __init__(self, text):
        if len(text) > LONGEST:
            raise wrong(LONGEST, f"a time zone has at most {LONGEST} characters")
        at = _name(text, 0, "standard time, such as CET")
        west_s, at = _time(text, at, 24, "the offset from UTC in hours, as -1 in CET-1,")
        self._standard_s = self._summer_s = self._offset_s = -west_s
        self._start = self._end = None
        self._from_s = self._until_s = 0
        if at == len(text):
            return
        at = _name(text, at, "daylight saving time, such as CEST")
        self._summer_s += 3600
        if at < len(text) and text[at] != ",":
            west_s, at = _time(text, at, 24, "the offset from UTC in hours")
            self._summer_s = -west_s
        self._start, at = _rule(text, at, "start")
        self._end, at = _rule(text, at, "end")
        if at < len(text):
            raise wrong(at, f"nothing may follow the rule, but '{text[at]}' does")

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


def _name(text, at, what):
    """The index after the name of a time."""
    start = at
    quoted = text[at : at + 1] == "<"
    at += quoted
    while at < len(text) and (
        "A" <= text[at] <= "Z"
        or "a" <= text[at] <= "z"
        or (quoted and (text[at] in "+-" or "0" <= text[at] <= "9"))
    ):
        at += 1
    if at - start - quoted < 3:
        raise wrong(start, f"three letters or more are expected as the name of {what}")
    if quoted:
        if text[at : at + 1] != ">":
            raise wrong(at, "a name that starts with < must end with >")
        at += 1
    return at


def _time(text, at, most_h, what):
    """[+|-]hours[:minutes[:seconds]] in seconds, and the index after it."""
    sign = -1 if text[at : at + 1] == "-" else 1
    if text[at : at + 1] in ("+", "-"):
        at += 1
    n, at = number(text, at, 0, most_h, what)
    s = n * 3600
    if text[at : at + 1] == ":":
        n, at = number(text, at + 1, 0, 59, "the minute")
        s += n * 60
        if text[at : at + 1] == ":":
            n, at = number(text, at + 1, 0, 59, "the second")
            s += n
    return sign * s, at


def _rule(text, at, which):
    """(month, week, weekday, seconds) of a change, and the index after it; month 0: Jn and n."""
    if text[at : at + 1] != ",":
        raise wrong(at, f"the {which} of daylight saving time is missing, such as ,M3.5.0")
    at += 1
    month = weekday = 0
    if text[at : at + 1] == "M":
        month, at = number(text, at + 1, 1, 12, "the month")
        week, at = number(text, _after(text, at, ".", "month"), 1, 5, "the week")
        weekday, at = number(text, _after(text, at, ".", "week"), 0, 6, "the weekday")
    elif text[at : at + 1] == "J":
        weekday = 1
        week, at = number(text, at + 1, 1, 365, "the day of the year")
    else:
        week, at = number(text, at, 0, 365, "the day of the year, or M and a month,")
    time_s = 7200
    if text[at : at + 1] == "/":
        time_s, at = _time(text, at + 1, 167, "the hour of the change")
    return (month, week, weekday, time_s), at


def _after(text, at, mark, what):
    if text[at : at + 1] != mark:
        raise wrong(at, f"'{mark}' is expected after the {what}")
    return at + 1
