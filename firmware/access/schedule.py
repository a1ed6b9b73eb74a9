"""The weekly schedule: windows in local time, and when they open and close.

The text is entries with `;` between them. An entry is days and then times, such as
`Mo-Fr 23:00-06:00; Sa,Su 00:00-12:00, 22:00-24:00`:

- days are Mo Tu We Th Fr Sa Su, single or from-to, with `,` between them; none: every day;
- times are from-to in hours and minutes, with `,` between them. A window that ends at or before the
  time of its start ends on the next day; 24:00 is the end of the day;
- spaces and the case of letters do not matter, windows may overlap, no entry at all: always open.

The clock on the wall rules: it is open whenever that clock shows a time inside a window. Where the
hour from 2 to 3 is left out in spring, 02:15-02:45 does not happen that day and 02:30-06:00 starts
with the jump; where it comes twice in autumn, both windows open in each of the two hours.
"""

from array import array

from firmware.access.timezone import number, wrong

LONGEST = 256  # characters of a schedule
MOST_WINDOWS = 32  # in a week: Mo-Fr 23:00-06:00 is five

_DAYS = "motuwethfrsasu"


class Schedule:
    """One text in one time zone. Times are UTC in seconds since 2000-01-01 00:00.

    ValueError with a sentence for a text that is not a schedule. Between two changes nothing is
    computed and nothing allocated; finding them allocates no more than the time zone does.
    """

    def __init__(self, text, timezone):
        # The minutes of the week, from Monday 00:00, at which it opens or closes in turn; and
        # whether it is open when the week before ends.
        changes = _changes(text)
        self._open = self._open_before = not text.strip() or changes[-1:] == [10080]
        if changes and self._open:
            # Sunday's last minute and Monday's first are neighbours.
            changes.pop()
            if changes[0]:
                changes.insert(0, 0)
            else:
                del changes[0]
        self._minutes = array("H", changes)
        self._timezone = timezone
        self._from_s = self._until_s = 0

    def is_open(self, utc_s):
        """Whether the clock on the wall shows a time inside a window."""
        if self._minutes and not self._from_s <= utc_s < self._until_s:
            self._look(utc_s)
        return self._open

    def next_change_s(self, utc_s):
        """The first second after `utc_s` at which `is_open` is another; None: it never is."""
        if not self._minutes:
            return None
        self.is_open(utc_s)
        return self._until_s

    def _look(self, utc_s):
        minutes = self._minutes
        at_s = utc_s
        while True:
            # 2000-01-01 was a Saturday: five days after Monday.
            week_s = (at_s + self._timezone.offset_s(at_s) + 432000) % 604800
            passed = 0
            for minute in minutes:
                if minute * 60 > week_s:
                    break
                passed += 1
            is_open = self._open_before != bool(passed & 1)
            if at_s == utc_s:
                self._open = is_open
            elif is_open != self._open:
                break  # the clock was changed into or out of a window
            if passed < len(minutes):
                next_s = at_s + minutes[passed] * 60 - week_s
            else:
                next_s = at_s + minutes[0] * 60 + 604800 - week_s
            at_s = self._timezone.next_change_s(at_s)
            if at_s is None or next_s < at_s:
                at_s = next_s
                break
        self._from_s = utc_s
        self._until_s = at_s


def _changes(text):
    """The minutes of the week at which the windows open and close, in turn; 10080 is its end."""
    if len(text) > LONGEST:
        raise wrong(LONGEST, f"a schedule has at most {LONGEST} characters")
    windows = []
    at = _spaces(text, 0)
    while at < len(text):
        days, at = _days(text, at)
        while True:
            start_at = at
            start, at = _clock(text, at, 23)
            if text[at : at + 1] != "-":
                raise wrong(at, "'-' and the end of the window are expected")
            end, at = _clock(text, _spaces(text, at + 1), 24)
            if start == end:
                raise wrong(start_at, "the window has no length; a whole day is 00:00-24:00")
            if end < start:
                end += 1440
            for day in range(7):
                if days >> day & 1:
                    if len(windows) == MOST_WINDOWS:
                        raise wrong(start_at, f"a week has at most {MOST_WINDOWS} windows")
                    windows.append((day * 1440 + start, day * 1440 + end))
            at = _spaces(text, at)
            if text[at : at + 1] != ",":
                break
            at = _spaces(text, at + 1)
        if at < len(text):
            if text[at] != ";":
                raise wrong(at, f"';' or ',' is expected after a window, not '{text[at]}'")
            at = _spaces(text, at + 1)
    for _, end in windows[:]:
        if end > 10080:
            windows.append((0, end - 10080))
    windows.sort()
    changes = []
    for start, end in windows:
        end = min(end, 10080)
        if changes and start <= changes[-1]:
            changes[-1] = max(changes[-1], end)
        else:
            changes.append(start)
            changes.append(end)
    return changes


def _spaces(text, at):
    while text[at : at + 1] == " ":
        at += 1
    return at


def _days(text, at):
    """The days of an entry as bits, Monday first, and the index of its times."""
    if "0" <= text[at : at + 1] <= "9":
        return 0x7F, at
    days = 0
    while True:
        day, at = _weekday(text, at)
        last = day
        if text[at : at + 1] == "-":
            last, at = _weekday(text, _spaces(text, at + 1))
        days |= 1 << day
        while day != last:
            day = (day + 1) % 7
            days |= 1 << day
        if text[at : at + 1] != ",":
            return days, at
        at = _spaces(text, at + 1)


def _weekday(text, at):
    day = _DAYS.find(text[at : at + 2].lower()) if len(text) > at + 1 else -1
    if day < 0 or day % 2:
        raise wrong(at, "one of the days Mo Tu We Th Fr Sa Su is expected")
    return day // 2, _spaces(text, at + 2)


def _clock(text, at, most_h):
    """Hours:minutes in minutes, and the index of what follows."""
    start = at
    hour, at = number(text, at, 0, most_h, "the hour")
    if text[at : at + 1] != ":":
        raise wrong(at, "':' and the minutes are expected after the hour")
    minute, at = number(text, at + 1, 0, 59, "the minute")
    if hour == 24 and minute:
        raise wrong(start, "the day ends at 24:00")
    return hour * 60 + minute, _spaces(text, at)
