"""The weekly schedule: windows in local time, and when they open and close.

How it is written stands in schedule_text.py. The clock on the wall rules: the schedule is open
whenever that clock shows a time inside a window. Where the hour from 2 to 3 is left out in spring,
02:15-02:45 does not happen that day and 02:30-06:00 starts with the jump; where it comes twice in
autumn, both windows open in each of the two hours.
"""

from array import array

from firmware.briefly import briefly


class Schedule:
    """One text in one time zone. Times are UTC in seconds since 2000-01-01 00:00.

    ValueError with a sentence for a text that is not a schedule. Between two changes nothing is
    computed and nothing allocated; finding them allocates no more than the time zone does.
    """

    def __init__(self, text, timezone):
        # The minutes of the week, from Monday 00:00, at which it opens or closes in turn; and
        # whether it is open when the week before ends.
        changes = briefly("firmware.access.schedule_text").parse(text)
        self._open = self._open_before = not text.strip() or changes[-1:] == [10080]
        if changes and self._open:
            # Sunday's last minute and Monday's first are neighbours.
            changes.pop()
            if changes[0]:
                changes.insert(0, 0)
            else:
                del changes[0]
        self._minutes = array("H", changes)
        self.timezone = timezone
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
            week_s = (at_s + self.timezone.offset_s(at_s) + 432000) % 604800
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
            at_s = self.timezone.next_change_s(at_s)
            if at_s is None or next_s < at_s:
                at_s = next_s
                break
        self._from_s = utc_s
        self._until_s = at_s
