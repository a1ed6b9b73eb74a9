"""Reads the text of a weekly schedule; needed only when one is set.

The text is entries with `;` between them. An entry is days and then times, such as
`Mo-Fr 23:00-06:00; Sa,Su 00:00-12:00, 22:00-24:00`:

- days are Mo Tu We Th Fr Sa Su, single or from-to, with `,` between them; none: every day;
- times are from-to in hours and minutes, with `,` between them. A window that ends at or before the
  time of its start ends on the next day; 24:00 is the end of the day;
- spaces and the case of letters do not matter, windows may overlap, no entry at all: always open.
"""

from firmware.briefly import briefly

_shared = briefly("firmware.access.timezone_text")
number = _shared.number
wrong = _shared.wrong

LONGEST = 256  # characters of a schedule
MOST_WINDOWS = 32  # in a week: Mo-Fr 23:00-06:00 is five

_DAYS = "motuwethfrsasu"


def parse(text):
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
