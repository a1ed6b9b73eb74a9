"""Changing settings: checked first, all of them or none. See firmware/settings.py."""

from firmware.briefly import briefly
from firmware.settings import SettingsError

_MOST_CHANGED = 32
# Texts with a grammar of their own, and who reads it. They are read before the table is loaded:
# both at once would take too much memory of a charger that runs.
_READERS = {
    "schedule": "firmware.access.schedule_text",
    "timezone": "firmware.access.timezone_text",
}


def set_many(settings, changes):
    """Put the dict `changes` in force, all of it; SettingsError, and none of it, if one is bad.

    Nothing is written: call `save` when flash may be written.
    """
    for name in _READERS:
        if name in changes:
            check_text(name, changes[name])
    table = briefly("firmware.settings_table")
    for name, value in changes.items():
        table.check(table.row_of(name), value)
    table.check_together(lambda name: changes[name] if name in changes else settings.get(name))
    for name, value in changes.items():
        setattr(settings, name, value)
        if len(settings.changed) < _MOST_CHANGED:
            settings.changed.append(name)
    settings.revision += 1
    settings.unsaved = True


def check_text(name, value):
    """SettingsError unless the text `value` is one that the setting `name` can be; others pass."""
    if name in _READERS:
        if not isinstance(value, str):
            raise SettingsError(name, "must be a text")
        try:
            briefly(_READERS[name]).parse(value)
        except ValueError as e:
            raise SettingsError(name, "is wrong at " + str(e)) from None
