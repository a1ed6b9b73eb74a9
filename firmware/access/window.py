"""Where a second lies among the windows of a schedule; needed only when one opens or closes.

The clock on the wall rules: the schedule is open whenever that clock shows a time inside a window.
Where the hour from 2 to 3 is left out in spring, 02:15-02:45 does not happen that day and
02:30-06:00 starts with the jump; where it comes twice in autumn, both windows open in each of the
two hours.
"""

from firmware.access.timezone import Timezone


def look(minutes, open_before, zone, utc_s):
    """(whether it is open at `utc_s`, the second at which that ends, the offset from UTC then).

    `minutes` of the week, from Monday 00:00, at which it opens or closes in turn, at least one;
    `open_before`, whether it is open when a week ends; `zone` is what Timezone takes.
    """
    timezone = Timezone(zone)
    is_open = None
    at_s = utc_s
    while True:
        # 2000-01-01 was a Saturday: five days after Monday.
        week_s = (at_s + timezone.offset_s(at_s) + 432000) % 604800
        passed = 0
        for minute in minutes:
            if minute * 60 > week_s:
                break
            passed += 1
        now_open = open_before != bool(passed & 1)
        if is_open is None:
            is_open = now_open
        elif now_open != is_open:
            break  # the clock was changed into or out of a window
        if passed < len(minutes):
            next_s = at_s + minutes[passed] * 60 - week_s
        else:
            next_s = at_s + minutes[0] * 60 + 604800 - week_s
        at_s = timezone.next_change_s(at_s)
        if at_s is None or next_s < at_s:
            at_s = next_s
            break
    return is_open, at_s, timezone.offset_s(at_s)
