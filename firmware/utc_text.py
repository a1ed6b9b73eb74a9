"""Times as messages write them: "2026-11-23T12:00:00Z" (RFC 3339, UTC, whole seconds).

Clock.utc writes them.
"""

_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)  # days before each month


def parse(text):
    """Seconds since 2000 of `text`; ValueError unless it is a time from 2000 to 2099."""
    if isinstance(text, str) and len(text) == 20:
        marks = text[4] + text[7] + text[10] + text[13] + text[16] + text[19]
        digits = text[:4] + text[5:7] + text[8:10] + text[11:13] + text[14:16] + text[17:19]
        if marks == "--T::Z" and all(["0" <= c <= "9" for c in digits]):
            year = int(digits[:4]) - 2000
            month, day, hour, minute, second = [int(digits[i : i + 2]) for i in range(4, 14, 2)]
            if 0 <= year < 100 and 0 < month < 13 and hour < 24 and minute < 60 and second < 60:
                leap = year % 4 == 0
                length = _BEFORE[month] - _BEFORE[month - 1] + (leap and month == 2)
                if 0 < day <= length:
                    days = year * 365 + (year + 3) // 4 + _BEFORE[month - 1] + (leap and month > 2)
                    return (days + day - 1) * 86400 + hour * 3600 + minute * 60 + second
    raise ValueError("must be a time as 2026-11-23T12:00:00Z")
