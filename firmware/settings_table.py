"""Reads the one table of every setting, settings_table.txt, a few rows at a time.

At rest the charger needs the values only. Its lines have name, default, allowed, unit, flags and
meaning. Allowed is "yes or no", "LOWEST to HIGHEST" or "LOWEST to HIGHEST by STEP" of a number, "at
most N" characters, or the choices of a text.
"""

SECRET = 1  # its value is never shown
RESTART = 2  # takes effect at the next start
NAME = 4  # letters, digits, dash, underscore and dot: it ends up in topics and file names
DIGITS = 8
LONG = 16  # empty, or at least 12 characters

_FLAGS = ("secret", "restart", "name", "digits", "long")
_PATH = __file__[: __file__.rindex("/") + 1] + "settings_table.txt"
_PIECE = 128


def rows(names=None):
    """Yield (name, default, allowed, unit, flags, meaning) of each setting, or of those in `names`.

    Allowed is (lowest, highest) or (lowest, highest, step) of a number, the choices of a text as a
    tuple, its greatest length, or None for yes/no.
    """
    rest = ""
    with open(_PATH) as f:
        while True:
            piece = f.read(_PIECE)
            lines = (rest + piece).split("\n")
            rest = lines.pop()
            while lines:
                line = lines.pop(0)
                name = line[: line.find(" ")]
                if name != "#" and (names is None or name in names):
                    yield _row(line)
            if not piece:
                return


def _row(line):
    name, default, allowed, unit, its, meaning = [cell.strip() for cell in line.split("|")]
    if allowed == "yes or no":
        default = default == "yes"
        allowed = None
    elif allowed.startswith("at most "):
        allowed = int(allowed[8:])
    elif " to " in allowed:
        default = int(default)
        allowed = tuple([int(part) for part in allowed.replace(" by ", " to ").split(" to ")])
    else:
        allowed = tuple(allowed.split(", "))
    flags = 0
    for i in range(len(_FLAGS)):
        if _FLAGS[i] in its:
            flags |= 1 << i
    return name, default, allowed, unit, flags, meaning


def describe(settings):
    """See Settings.describe."""
    for name, default, allowed, unit, flags, meaning in rows():
        shown = {
            "name": name,
            "allowed": allowed,
            "unit": unit,
            "meaning": meaning,
            "restart": bool(flags & RESTART),
        }
        if flags & SECRET:
            shown["set"] = getattr(settings, name) != default
        else:
            shown["value"] = getattr(settings, name)
            shown["default"] = default
        yield shown
