"""The weekly schedule: windows in local time, and when they open and close.

How it is written stands in schedule_text.py, how a change is found in window.py.
"""

from array import array

from firmware.briefly import briefly


class Schedule:
    """A text, and a POSIX TZ rule for its place. Times are UTC in seconds since 2000-01-01 00:00.

    `offset_s` is what to add to the next change's time for the clock on the wall.
    ValueError with a sentence for what is no schedule or no rule. Between two changes nothing is
    computed and nothing allocated. Finding the next one takes 1.6 KB for a moment (compiled, 32-bit
    words); MemoryError: they are not there, and nothing has changed.
    """

    def __init__(self, text, rule):
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
        self._zone = briefly("firmware.access.timezone_text").parse(rule)
        self._from_s = self._until_s = self.offset_s = 0

    def is_open(self, utc_s):
        """Whether the clock on the wall shows a time inside a window."""
        if self._minutes and not self._from_s <= utc_s < self._until_s:
            look = briefly("firmware.access.window").look
            found = look(self._minutes, self._open_before, self._zone, utc_s)
            self._open, self._until_s, self.offset_s = found
            self._from_s = utc_s
        return self._open

    def next_change_s(self, utc_s):
        """The first second after `utc_s` at which `is_open` is another; None: it never is."""
        if not self._minutes:
            return None
        self.is_open(utc_s)
        return self._until_s
