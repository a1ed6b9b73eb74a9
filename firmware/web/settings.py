"""The settings table over HTTP, and the first run, which is anyone's."""

import json

from firmware.briefly import briefly
from firmware.settings import SettingsError
from firmware.web.server import error

_LOGIN = "firmware.web.login"


async def get(charger, request):
    """Every setting; of a secret only whether it is set."""
    return 200, "application/json", _rows(charger.settings), ""


def _rows(settings):
    lead = b'{"settings": ['
    for row in settings.describe():
        yield lead + json.dumps(row).encode()
        lead = b",\n"
    yield b"]}"


async def put(charger, request):
    """All of the values or none; the charger writes them to flash by itself."""
    return _change(charger, request, request.content)


async def post(charger, request):
    """The PIN of a charger that has none, with other settings; who sets it is logged in."""
    if charger.settings.pin:
        return error(409, "AlreadySetUp")
    changes = request.content.get("settings", {})
    if not isinstance(changes, dict):
        return error(400, "InvalidJson")
    changes["pin"] = request.content.get("pin", "")
    answer = _change(charger, request, changes)
    if answer[0] == 200:
        answer = answer[:3] + (briefly(_LOGIN).admit(charger),)
    return answer


def _change(charger, request, changes):
    settings = charger.settings
    restart = False
    try:
        if changes.get("pin") == "":
            raise SettingsError("pin", "must have at least 4 digits")
        table = briefly("firmware.settings_table")
        for name in changes:
            row = table.row_of(name)
            if row[4] & table.RESTART and settings.get(name) != changes[name]:
                restart = True
        # Who had neither at the start has not loaded what it takes.
        restart = restart or bool(
            (charger.uplink is None and changes.get("cloud_host"))
            or (
                charger.station is None and (changes.get("wifi_ssid") or changes.get("ap_password"))
            )
        )
        row = table = None  # the change loads it again, once it has read what comes before
        settings.set_many(changes)
    except SettingsError as e:
        return error(400, "Setting", "", {"field": e.field, "reason": str(e) + "."})
    if "pin" in changes:
        charger.logins.open = []
        briefly(_LOGIN).note(charger, "PinChanged", 1)
    return 200, "application/json", json.dumps({"ok": True, "restart": restart}), ""
