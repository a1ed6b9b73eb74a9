"""The settings in force: checked on the way in, saved so that a power cut is harmless.

What there is to set stands in firmware/settings_table.py.

Promises: a value that is in force has passed its check; `set_many` takes all of its values or
none; after a power cut at any moment of `save` the next `load` finds the old values or the new
ones; a file that is damaged, too large or written by a newer firmware is passed over for the last
good one, and `notice` says so in a sentence. Secrets appear in neither `describe` nor `notice`.

Does not decide when flash may be written (an erase stalls the whole chip): the caller saves while
the contactor is open. It runs on CPython as well, so that host tools write the same files.
"""

import binascii
import json
import os

from firmware.briefly import briefly

MAX_FILE_BYTES = 4096  # one flash sector
FORMAT = 1
_TABLE = "firmware.settings_table"
_VALUES = '"values": '  # what stands before the text that the checksum covers


class SettingsError(ValueError):
    """A value was refused: `field` is the setting, `reason` a sentence fragment ("must be ...")."""

    def __init__(self, field, reason):
        super().__init__(field + " " + reason)
        self.field = field
        self.reason = reason


def encode(values):
    """The bytes of a settings file holding the dict `values`, which is taken unchecked."""
    text = json.dumps(values)
    return f'{{"format": {FORMAT}, "crc32": "{_crc(text)}", {_VALUES}{text}}}'.encode()


def _crc(text):
    return f"{binascii.crc32(text.encode()) & 0xFFFFFFFF:08x}"


class Settings:
    """The values in force, as attributes named like the table's rows.

    `directory` is where the file lives. `notice` is a sentence about a file that was passed over,
    or None. `unsaved` says that values are in force which are not in the file yet. `revision`
    counts changes, so that whoever copied a value can see that it is stale.
    """

    def __init__(self, directory=""):
        self._path = directory + "/settings"
        self._current_good = False
        self.notice = None
        self.unsaved = False
        self.revision = 0
        self._reset()

    def __getattr__(self, name):
        # Reached only for what no row of the table has set.
        raise AttributeError(name)

    def _reset(self):
        rows = briefly(_TABLE).TABLE
        self._names = tuple([row[0] for row in rows])
        for row in rows:
            setattr(self, row[0], row[1])

    def get(self, name):
        """Value of the setting `name`; SettingsError if there is none."""
        if name not in self._names:
            raise SettingsError(str(name), "is no setting of this firmware")
        return getattr(self, name)

    def set_many(self, changes):
        """Put the dict `changes` in force, all of it; SettingsError, and none of it, if one is bad.

        Nothing is written: call `save` when flash may be written.
        """
        table = briefly(_TABLE)
        for name, value in changes.items():
            table.check(table.row_of(name), value)
        table.check_together(lambda name: changes[name] if name in changes else self.get(name))
        for name, value in changes.items():
            setattr(self, name, value)
        self.revision += 1
        self.unsaved = True

    def save(self):
        """Write the values that differ from their defaults; OSError if the filesystem refuses.

        The new file is complete before an old one moves, and only a good old one becomes the
        fallback. A rename replaces its target in one step that a power cut cannot split.
        """
        rows = briefly(_TABLE).TABLE
        changed = {row[0]: self.get(row[0]) for row in rows if self.get(row[0]) != row[1]}
        with open(self._path + ".new", "wb") as f:
            f.write(encode(changed))
        if self._current_good:
            os.rename(self._path + ".json", self._path + ".bak")
        self._current_good = False
        os.rename(self._path + ".new", self._path + ".json")
        self._current_good = True
        self.unsaved = False

    def load(self):
        """Read the newest good file; without one the defaults stay. Never raises for a bad file."""
        problems = []
        in_force = "defaults are used"
        # Without a ".json" the power was cut between the two renames: ".new" was about to be it.
        for ending in (".json", ".bak") if self._size(".json") is not None else (".new", ".bak"):
            size = self._size(ending)
            if size is None:
                continue
            problem = self._take(ending, size, problems)
            if problem is None:
                in_force = "the values before the last save are used" if ending == ".bak" else ""
                self._current_good = ending == ".json" or ending == ".new" and self._promote()
                break
            self._reset()
            if ending != ".new":  # the leftover of a save that was cut before it was complete
                problems.append(f"settings{ending} {problem}")
        if in_force and self._size(".bak") is not None and not problems:
            problems.append("settings.json is missing")
        if problems:
            self.notice = "; ".join(problems) + ("; " + in_force if in_force else "")

    def _promote(self):
        # Finish the save that was cut: the next one would overwrite ".new", which is all there is.
        try:
            os.rename(self._path + ".new", self._path + ".json")
        except OSError:
            return False
        return True

    def _size(self, ending):
        try:
            return os.stat(self._path + ending)[6]
        except OSError:
            return None

    def _take(self, ending, size, problems):
        """Put a file's values in force; None, or what is wrong with the file as a whole."""
        if size > MAX_FILE_BYTES:
            return "is too large"
        table = briefly(_TABLE)
        try:
            with open(self._path + ending, "rb") as f:
                text = f.read(size).decode()
            content = json.loads(text)
            if content["format"] != FORMAT:
                return "was written by another firmware (format {})".format(content["format"])
            start = text.index(_VALUES) + len(_VALUES)
            if content["crc32"] != _crc(text[start:-1]):
                return "is damaged"
            for name, value in content["values"].items():
                try:
                    table.check(table.row_of(name), value)
                    setattr(self, name, value)
                except SettingsError as e:
                    problems.append("a stored value is passed over: " + str(e))
            table.check_together(self.get)
        except SettingsError as e:
            return "contradicts itself: " + str(e)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return "is damaged"
        return None

    def describe(self):
        """Yield one dict for each setting: name, value, default, allowed, unit, meaning, restart.

        A secret has `set` (yes or no) in place of its value.
        """
        table = briefly(_TABLE)
        for name, default, allowed, unit, meaning, flags in table.TABLE:
            shown = {
                "name": name,
                "allowed": allowed,
                "unit": unit,
                "meaning": meaning,
                "restart": bool(flags & table.RESTART),
            }
            if flags & table.SECRET:
                shown["set"] = getattr(self, name) != default
            else:
                shown["value"] = getattr(self, name)
                shown["default"] = default
            yield shown
