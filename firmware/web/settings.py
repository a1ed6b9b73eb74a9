"""The settings table over HTTP, and the first run, which is anyone's."""

import asyncio
import json

from firmware.briefly import briefly
from firmware.settings import SettingsError
from firmware.web.server import SHORT_MS, error

_LOGIN = "firmware.web.login"
_TRIES = 20


async def get(charger, request):
    """Every setting; of a secret only whether it is set."""
    return 200, "application/json", _rows(charger.settings), ""


def _rows(settings):
    lead = b'{"settings": ['
    for row in settings.describe():
        left = _TRIES
        while row:
            try:
                piece = lead + json.dumps(row).encode()
            except MemoryError:
                left -= 1
                if not left:
                    raise
                yield False
                continue
            row = None
            yield piece
        lead = b",\n"
    yield b"]}"


async def put(charger, request):
    """All of the values or none; the charger writes them to flash by itself."""
    return await _change(charger, request, request.content)


async def post(charger, request):
    """The PIN of a charger that has none, with other settings; who sets it is logged in."""
    if charger.settings.pin:
        return error(409, "AlreadySetUp")
    changes = request.content.get("settings", {})
    if not isinstance(changes, dict):
        return error(400, "InvalidJson")
    changes["pin"] = request.content.get("pin", "")
    answer = await _change(charger, request, changes)
    if answer[0] == 200:
        answer = answer[:3] + (briefly(_LOGIN).admit(charger),)
    return answer


async def _change(charger, request, changes):
    left = _TRIES
    while True:
        try:
            if changes.get("pin") == "":
                raise SettingsError("pin", "must have at least 4 digits")
            restart = charger.settings.set_many(changes)
            break
        except SettingsError as e:
            return error(400, "Setting", "", {"field": e.field, "reason": str(e) + "."})
        except MemoryError:  # none of the values is in force
            left -= 1
            if not left:
                raise
        await asyncio.sleep_ms(SHORT_MS)
    # Who had neither at the start has not loaded what it takes.
    if charger.uplink is None and changes.get("cloud_host"):
        restart = True
    if charger.station is None and (changes.get("wifi_ssid") or changes.get("ap_password")):
        restart = True
    if "pin" in changes:
        charger.logins.open = []
        briefly(_LOGIN).note(charger, "PinChanged", 1)
    return 200, "application/json", json.dumps({"ok": True, "restart": restart}), ""
