"""The one table of every setting, and the checks of a value.

Loaded when settings are read from the file, changed or shown, and let go again: at rest the charger
needs the values only. What a setting means, in words, is in settings_meaning.txt.
"""

from firmware.settings import SettingsError

SECRET = 1  # its value is never shown
RESTART = 2  # takes effect at the next start
NAME = 4  # letters, digits, dash, underscore and dot: it ends up in topics and file names
DIGITS = 8
LONG = 16  # empty, or at least 12 characters

_POLICIES = (
    "open",
    "any_key",
    "known_key",
    "schedule",
    "any_key+schedule",
    "known_key+schedule",
)

# name, default, allowed, unit, flags. Allowed is (lowest, highest) or (lowest, highest,
# step) of a number, the choices of a text as a tuple, its greatest length, or None for yes/no.
# Currents are what IEC 61851-1 can signal (6 to 80 A). No board is the default: after a loss of
# all settings nothing may be driven by the pins of a board that this one is not.
TABLE = (
    ("charger_id", "", 32, "", RESTART | NAME),
    ("board", "", 32, "", RESTART | NAME),
    ("installation_limit_a", 16, (6, 80), "A", 0),
    ("phases", 3, (1, 3, 2), "", 0),
    ("mains_v", 230, (100, 277), "V", 0),
    ("tethered", False, None, "", RESTART),
    ("tethered_cable_a", 32, (6, 80), "A", RESTART),
    ("ventilation", False, None, "", 0),
    ("wake_mode", "F", ("off", "E", "F"), "", 0),
    ("wake_after_s", 30, (10, 600), "s", 0),
    ("wake_s", 4, (1, 10), "s", 0),
    ("derate_half_c", 65, (30, 100), "C", 0),
    ("derate_quarter_c", 68, (30, 100), "C", 0),
    ("derate_stop_c", 71, (30, 100), "C", 0),
    ("derate_resume_c", 62, (30, 100), "C", 0),
    ("rcd_test", True, None, "", 0),
    ("offline_policy", "open", _POLICIES, "", 0),
    ("online_policy", "open", _POLICIES + ("cloud", "cloud+schedule"), "", 0),
    ("schedule", "", 256, "", 0),
    ("timezone", "UTC0", 64, "", 0),
    ("schedule_no_clock", "charge", ("charge", "wait"), "", 0),
    ("ask_timeout_s", 5, (1, 60), "s", 0),
    ("tap_hold_s", 60, (10, 600), "s", 0),
    ("tap_releases", True, None, "", 0),
    ("back_online", "keep", ("keep", "stop"), "", 0),
    ("after_power_cut", "resume", ("resume", "end"), "", 0),
    ("random_delay_s", 0, (0, 1800), "s", 0),
    ("ntp_host", "pool.ntp.org", 64, "", NAME),
    ("wifi_ssid", "", 32, "", 0),
    ("wifi_password", "", 63, "", SECRET),
    ("ap_password", "", 63, "", SECRET | LONG),
    ("ap_mode", "always", ("always", "offline", "start"), "", 0),
    ("ap_minutes", 15, (5, 120), "min", 0),
    ("cloud_host", "", 64, "", NAME),
    ("cloud_port", 0, (0, 65535), "", 0),
    ("cloud_tls", True, None, "", 0),
    ("cloud_user", "", 64, "", 0),
    ("cloud_password", "", 64, "", SECRET),
    ("hint_host", "", 64, "", NAME),
    ("status_interval_s", 300, (10, 3600), "s", 0),
    ("checkpoint_min", 10, (1, 60), "min", 0),
    ("meter_pulses_per_kwh", 1000, (1, 100000), "1/kWh", RESTART),
    ("http_port", 80, (1, 65535), "", RESTART),
    ("console", True, None, "", RESTART),
    ("watchdog_s", 8, (3, 60), "s", RESTART),
    ("pin", "", 12, "", SECRET | DIGITS),
)


def check(row, value):
    """Raise SettingsError unless `value` is allowed by the table's `row`."""
    name, default, allowed, unit, flags = row
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


def row_of(name):
    """The table's row of the setting `name`; SettingsError if there is none."""
    for row in TABLE:
        if row[0] == name:
            return row
    raise SettingsError(str(name), "is no setting of this firmware")
