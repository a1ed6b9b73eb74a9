"""Reading, checking and writing the settings: needed at the start and when they change.

What is promised stands in firmware/settings.py.
"""

import binascii
import json
import os

from firmware.briefly import briefly
from firmware.settings import SettingsError

MAX_FILE_BYTES = 4096  # one flash sector
FORMAT = 1
_TABLE = "firmware.settings_table"
_CHANGE = "firmware.settings_change"
_MEANINGS = __file__[: __file__.rindex("/") + 1] + "settings_meaning.txt"
_VALUES = '"values": '  # what stands before the text that the checksum covers


def encode(values):
    """The bytes of a settings file holding the dict `values`, which is taken unchecked."""
    text = json.dumps(values)
    return f'{{"format": {FORMAT}, "crc32": "{_crc(text)}", {_VALUES}{text}}}'.encode()


def _crc(text):
    return f"{binascii.crc32(text.encode()) & 0xFFFFFFFF:08x}"


def reset(settings):
    rows = briefly(_TABLE).TABLE
    for row in rows:
        setattr(settings, row[0], row[1])
    # As the attributes' own names: those of the table would be in memory a second time.
    names = [row[0] for row in rows]
    settings.names = tuple([name for name in settings.__dict__ if name in names])


def save(settings):
    """Write the values that differ from their defaults; OSError if the filesystem refuses.

    The new file is complete before an old one moves, and only a good old one becomes the
    fallback. A rename replaces its target in one step that a power cut cannot split.
    """
    rows = briefly(_TABLE).TABLE
    changed = {row[0]: settings.get(row[0]) for row in rows if settings.get(row[0]) != row[1]}
    with open(settings.path + ".new", "wb") as f:
        f.write(encode(changed))
    if settings.current_good:
        os.rename(settings.path + ".json", settings.path + ".bak")
    settings.current_good = False
    os.rename(settings.path + ".new", settings.path + ".json")
    settings.current_good = True
    settings.unsaved = False


def load(settings):
    """Read the newest good file; without one the defaults stay. Never raises for a bad file."""
    problems = []
    in_force = "defaults are used"
    # Without a ".json" the power was cut between the two renames: ".new" was about to be it.
    for ending in (".json", ".bak") if _size(settings, ".json") is not None else (".new", ".bak"):
        size = _size(settings, ending)
        if size is None:
            continue
        problem = _take(settings, ending, size, problems)
        if problem is None:
            in_force = "the values before the last save are used" if ending == ".bak" else ""
            settings.current_good = ending == ".json" or ending == ".new" and _promote(settings)
            break
        reset(settings)
        if ending != ".new":  # the leftover of a save that was cut before it was complete
            problems.append(f"settings{ending} {problem}")
    if in_force and _size(settings, ".bak") is not None and not problems:
        problems.append("settings.json is missing")
    if problems:
        settings.notice = "; ".join(problems) + ("; " + in_force if in_force else "")


def _promote(settings):
    # Finish the save that was cut: the next one would overwrite ".new", which is all there is.
    try:
        os.rename(settings.path + ".new", settings.path + ".json")
    except OSError:
        return False
    return True


def _size(settings, ending):
    try:
        return os.stat(settings.path + ending)[6]
    except OSError:
        return None


def _take(settings, ending, size, problems):
    """Put a file's values in force; None, or what is wrong with the file as a whole."""
    if size > MAX_FILE_BYTES:
        return "is too large"
    table = briefly(_TABLE)
    try:
        with open(settings.path + ending, "rb") as f:
            text = f.read(size).decode()
        content = json.loads(text)
        if content["format"] != FORMAT:
            return "was written by another firmware (format {})".format(content["format"])
        start = text.index(_VALUES) + len(_VALUES)
        if content["crc32"] != _crc(text[start:-1]):
            return "is damaged"
        for name, value in content["values"].items():
            try:
                briefly(_CHANGE).check_text(name, value)
                table.check(table.row_of(name), value)
                setattr(settings, name, value)
            except SettingsError as e:
                problems.append("a stored value is passed over: " + str(e))
        table.check_together(settings.get)
    except SettingsError as e:
        return "contradicts itself: " + str(e)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "is damaged"
    return None


def describe(settings):
    """Yield one dict for each setting: name, value, default, allowed, unit, meaning, restart.

    A secret has `set` (yes or no) in place of its value.
    """
    table = briefly(_TABLE)
    meanings = open(_MEANINGS)
    for name, default, allowed, unit, flags in table.TABLE:
        shown = {
            "name": name,
            "allowed": allowed,
            "unit": unit,
            "meaning": _meaning(meanings, name),
            "restart": bool(flags & table.RESTART),
        }
        if flags & table.SECRET:
            shown["set"] = getattr(settings, name) != default
        else:
            shown["value"] = getattr(settings, name)
            shown["default"] = default
        yield shown
    meanings.close()


def _meaning(lines, name):
    """What stands behind the name in the lines, which are in the order of the table."""
    for line in lines:
        if line.startswith(name + " "):
            return line[len(name) + 1 :].rstrip()
    return ""
