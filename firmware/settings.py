"""The settings in force: checked on the way in, saved so that a power cut is harmless.

What there is to set stands in firmware/settings_table.txt.

Promises: a value that is in force has passed its check; `set_many` takes all of its values or
none; after a power cut at any moment of `save` the next `load` finds the old values or the new
ones; a file that is damaged, too large or written by a newer firmware is passed over for the last
good one, and `notice` says so in a sentence. Secrets appear in neither `describe` nor `notice`.

Does not decide when flash may be written (an erase stalls the whole chip): the caller saves while
the contactor is open. It runs on CPython as well, so that host tools write the same files.
"""

from firmware.briefly import briefly

_FILE = "firmware.settings_file"


class SettingsError(ValueError):
    """A value was refused: `field` is the setting, `reason` a sentence fragment ("must be ...")."""

    def __init__(self, field, reason):
        super().__init__(field + " " + reason)
        self.field = field
        self.reason = reason


class Settings:
    """The values in force, as attributes named like the table's rows.

    `directory` is where the file lives. `notice` is a sentence about a file that was passed over,
    or None. `unsaved` says that values are in force which are not in the file yet. `revision`
    counts changes, so that whoever copied a value can see that it is stale.
    """

    def __init__(self, directory=""):
        self.path = directory + "/settings"
        self.current_good = False  # what .json holds may become the fallback
        self.notice = None
        self.unsaved = False
        self.revision = 0
        self.changed = []  # names that were set and not recorded yet; the oldest 32 of them
        self.names = ()
        briefly(_FILE).reset(self)

    def __getattr__(self, name):
        # Reached only for what no row of the table has set.
        raise AttributeError(name)

    def get(self, name):
        """Value of the setting `name`; SettingsError if there is none."""
        if name not in self.names:
            raise SettingsError(str(name), "is no setting of this firmware")
        return getattr(self, name)

    def set_many(self, changes):
        """Put the dict `changes` in force, all of it; SettingsError, and none of it, if one is bad.

        Whether one of them takes effect at the next start only. Nothing is written: call `save`
        when flash may be written.
        """
        return briefly("firmware.settings_change").set_many(self, changes)

    def save(self):
        """Write the values that differ from their defaults; OSError if the filesystem refuses."""
        briefly(_FILE).save(self)

    def load(self):
        """Read the newest good file; without one the defaults stay. Never raises for a bad file."""
        briefly(_FILE).load(self)

    def describe(self):
        """Yield one dict for each setting: name, value, default, allowed, unit, meaning, restart.

        A secret has `set` (yes or no) in place of its value.
        """
        return briefly("firmware.settings_table").describe(self)
