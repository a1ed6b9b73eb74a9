"""Reads a POSIX TZ rule; needed only when one is set.

The form is that of POSIX.1-2017 (8.3, TZ), with names in <...>, the days `Jn` and `n`, and times of
change from -167 to 167 hours as RFC 8536 has them. Names of places (Europe/Oslo) are not known.
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


def parse(text):
    """(standard time, summer time, start, end): offsets in seconds, then the rules of the changes.

    ValueError with a sentence for a text that is not a rule. A rule is (month, week, weekday,
    seconds of the day), month 0 for a day of the year; None where the clock is never changed.
    """
    if len(text) > LONGEST:
        raise wrong(LONGEST, f"a time zone has at most {LONGEST} characters")
    at = _name(text, 0, "standard time, such as CET")
    west_s, at = _time(text, at, 24, "the offset from UTC in hours, as -1 in CET-1,")
    standard_s = -west_s
    if at == len(text):
        return standard_s, standard_s, None, None
    at = _name(text, at, "daylight saving time, such as CEST")
    summer_s = standard_s + 3600
    if at < len(text) and text[at] != ",":
        west_s, at = _time(text, at, 24, "the offset from UTC in hours")
        summer_s = -west_s
    start, at = _rule(text, at, "start")
    end, at = _rule(text, at, "end")
    if at < len(text):
        raise wrong(at, f"nothing may follow the rule, but '{text[at]}' does")
    return standard_s, summer_s, start, end


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
