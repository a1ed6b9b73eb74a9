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
_PASSED_OVER = "a stored value is passed over: "
_VALUES = '"values": '  # what stands before the text that the checksum covers


def encode(values):
    """The bytes of a settings file holding the dict `values`, which is taken unchecked."""
    text = json.dumps(values)
    return f'{{"format": {FORMAT}, "crc32": "{_crc(text)}", {_VALUES}{text}}}'.encode()


def _crc(text):
    return f"{binascii.crc32(text.encode()) & 0xFFFFFFFF:08x}"


def reset(settings):
    names = []
    for row in briefly(_TABLE).rows():
        setattr(settings, row[0], row[1])
        names.append(row[0])
    # As the attributes' own names: those of the table would be in memory a second time.
    settings.names = tuple([name for name in settings.__dict__ if name in names])


def save(settings):
    """Write the values that differ from their defaults; OSError if the filesystem refuses.

    The new file is complete before an old one moves, and only a good old one becomes the
    fallback. A rename replaces its target in one step that a power cut cannot split.
    """
    changed = {}
    for row in briefly(_TABLE).rows():
        if settings.get(row[0]) != row[1]:
            changed[row[0]] = settings.get(row[0])
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
    change = briefly(_CHANGE)
    try:
        with open(settings.path + ending, "rb") as f:
            text = f.read(size).decode()
        content = json.loads(text)
        if content["format"] != FORMAT:
            return "was written by another firmware (format {})".format(content["format"])
        start = text.index(_VALUES) + len(_VALUES)
        if content["crc32"] != _crc(text[start:-1]):
            return "is damaged"
        values = content["values"]
        for name in values.keys():
            try:
                settings.get(name)
            except SettingsError as e:
                problems.append(_PASSED_OVER + str(e))
        for row in briefly(_TABLE).rows(values):
            name = row[0]
            value = values[name]
            try:
                change.check_text(name, value)
                change.check(row, value)
                setattr(settings, name, value)
            except SettingsError as e:
                problems.append(_PASSED_OVER + str(e))
        change.check_together(settings.get)
    except SettingsError as e:
        return "contradicts itself: " + str(e)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "is damaged"
    return None
