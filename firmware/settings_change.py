"""Changing settings: checked first, all of them or none. See firmware/settings.py."""

from firmware.briefly import briefly
from firmware.settings import SettingsError
from firmware.settings_table import DIGITS, LONG, NAME, RESTART, rows

_MOST_CHANGED = 32
# Texts with a grammar of their own, and who reads it.
_READERS = {
    "schedule": "firmware.access.schedule_text",
    "timezone": "firmware.access.timezone_text",
}


def set_many(settings, changes):
    """Put the dict `changes` in force; see Settings.set_many."""
    restart = False
    for name in changes:
        settings.get(name)
        if name in _READERS:
            check_text(name, changes[name])
    for row in rows(changes):
        name = row[0]
        check(row, changes[name])
        if row[4] & RESTART and getattr(settings, name) != changes[name]:
            restart = True
    check_together(lambda name: changes[name] if name in changes else settings.get(name))
    # From here on nothing may fail for want of memory: that would be some of them.
    changed = (settings.changed + list(changes))[:_MOST_CHANGED]
    for name, value in changes.items():
        setattr(settings, name, value)
    settings.changed = changed
    settings.revision += 1
    settings.unsaved = True
    return restart


def check_text(name, value):
    """SettingsError unless the text `value` is one that the setting `name` can be; others pass."""
    if name in _READERS:
        if not isinstance(value, str):
            raise SettingsError(name, "must be a text")
        try:
            briefly(_READERS[name]).parse(value)
        except ValueError as e:
            raise SettingsError(name, "is wrong at " + str(e)) from None


def check(row, value):
    """Raise SettingsError unless `value` is allowed by the table's `row`."""
    name, default, allowed, unit, flags, _ = row
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise SettingsError(name, "must be true or false")
    elif isinstance(default, int):
        step = allowed[2] if len(allowed) > 2 else 1
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or not allowed[0] <= value <= allowed[1]
            or (value - allowed[0]) % step
        ):
            what = "{} or {}" if step > 1 else "a whole number from {} to {}"
            reason = "must be " + what.format(allowed[0], allowed[1])
            raise SettingsError(name, reason + (" " + unit if unit else ""))
    elif not isinstance(value, str):
        raise SettingsError(name, "must be a text")
    elif isinstance(allowed, tuple):
        if value not in allowed:
            raise SettingsError(name, "must be one of " + ", ".join(allowed))
    else:
        _check_text(name, value, allowed, flags)


def _check_text(name, value, longest, flags):
    if len(value) > longest:
        raise SettingsError(name, f"must have at most {longest} characters")
    for c in value:
        if not " " <= c <= "~":
            raise SettingsError(name, "must be plain ASCII without control characters")
        if flags & NAME and not (
            "a" <= c <= "z" or "A" <= c <= "Z" or "0" <= c <= "9" or c in "-_."
        ):
            raise SettingsError(name, "may hold letters, digits, dash, underscore and dot only")
        if flags & DIGITS and not "0" <= c <= "9":
            raise SettingsError(name, "may hold digits only")
    if flags & DIGITS and 0 < len(value) < 4:
        raise SettingsError(name, "must have at least 4 digits")
    if flags & LONG and 0 < len(value) < 12:
        raise SettingsError(name, "must have at least 12 characters")


def check_together(get):
    """Raise SettingsError where values that are allowed alone contradict each other.

    `get` returns the value of a name.
    """
    steps = ("derate_resume_c", "derate_half_c", "derate_quarter_c", "derate_stop_c")
    for i in range(1, len(steps)):
        if get(steps[i - 1]) >= get(steps[i]):
            raise SettingsError(steps[i], "must be above " + steps[i - 1])
    for name in ("offline_policy", "online_policy"):
        if get(name).endswith("schedule") and not get("schedule").strip():
            raise SettingsError(name, "needs a schedule")
