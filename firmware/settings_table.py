"""The one table of every setting, and the checks of a value.

Loaded when settings are read from the file, changed or shown, and let go again: at rest the charger
needs the values only.
"""

from firmware.settings import SettingsError

SECRET = 1  # its value is never shown
RESTART = 2  # takes effect at the next start
NAME = 4  # letters, digits, dash, underscore and dot: it ends up in topics and file names
DIGITS = 8

# name, default, allowed, unit, meaning, flags. Allowed is (lowest, highest) or (lowest, highest,
# step) of a number, the choices of a text as a tuple, its greatest length, or None for yes/no.
# Currents are what IEC 61851-1 can signal (6 to 80 A). No board is the default: after a loss of
# all settings nothing may be driven by the pins of a board that this one is not.
TABLE = (
    (
        "charger_id",
        "",
        32,
        "",
        "name of this charger; empty: from the chip's number",
        NAME | RESTART,
    ),
    ("board", "", 32, "", "file of the board's pins in firmware/board", NAME | RESTART),
    ("installation_limit_a", 16, (6, 80), "A", "what fuse and wiring can carry, per phase", 0),
    ("phases", 3, (1, 3, 2), "", "phases connected to the contactor", 0),
    ("mains_v", 230, (100, 277), "V", "phase voltage, for the estimate without a meter", 0),
    ("tethered", False, None, "", "the cable is fixed: no lock and no plug coding", RESTART),
    ("tethered_cable_a", 32, (6, 80), "A", "rating of a fixed cable", RESTART),
    ("ventilation", False, None, "", "the place is ventilated: serve cars that ask for it", 0),
    ("wake_mode", "F", ("off", "E", "F"), "", "pilot state that wakes a sleeping car", 0),
    ("wake_after_s", 30, (10, 600), "s", "how long a car may stay silent before it is woken", 0),
    ("wake_s", 4, (1, 10), "s", "how long the waking state lasts", 0),
    ("derate_half_c", 65, (30, 100), "C", "from here on half the current", 0),
    ("derate_quarter_c", 68, (30, 100), "C", "from here on a quarter", 0),
    ("derate_stop_c", 71, (30, 100), "C", "from here on none", 0),
    ("derate_resume_c", 62, (30, 100), "C", "below it the full current again", 0),
    ("rcd_test", True, None, "", "test the residual current device before each charge", 0),
    ("meter_pulses_per_kwh", 1000, (1, 100000), "1/kWh", "pulses of the S0 meter", RESTART),
    ("http_port", 80, (1, 65535), "", "port of the page", RESTART),
    ("console", True, None, "", "service console (aiorepl) on the serial port", RESTART),
    ("watchdog_s", 8, (3, 60), "s", "reset when a task is silent for so long", RESTART),
    ("pin", "", 12, "", "PIN of the page, 4 to 12 digits; empty: no login", SECRET | DIGITS),
)


def check(row, value):
    """Raise SettingsError unless `value` is allowed by the table's `row`."""
    name, default, allowed, unit, _, flags = row
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


def check_together(get):
    """Raise SettingsError where values that are allowed alone contradict each other.

    `get` returns the value of a name.
    """
    steps = ("derate_resume_c", "derate_half_c", "derate_quarter_c", "derate_stop_c")
    for i in range(1, len(steps)):
        if get(steps[i - 1]) >= get(steps[i]):
            raise SettingsError(steps[i], "must be above " + steps[i - 1])


def row_of(name):
    """The table's row of the setting `name`; SettingsError if there is none."""
    for row in TABLE:
        if row[0] == name:
            return row
    raise SettingsError(str(name), "is no setting of this firmware")
