# Puts changes into the settings, and the charger's own PIN and WiFi password where it has none yet
# or another one is asked for. Then leaves for boot.py what is safe for the board that the settings
# name; no pin is moved. Uses the firmware that was just copied.
# ruff: noqa: F821
# mypy: ignore-errors
from firmware.settings import Settings

changes, own, replace = ARGUMENTS
settings = Settings()
settings.load()
new = {name: value for name, value in changes.items() if settings.get(name) != value}
for name in own:
    if replace[name] or not settings.get(name):
        new[name] = own[name]
if new:
    settings.set_many(new)
    settings.save()

from firmware.board import chip, load, nvs  # noqa: E402

try:  # noqa: SIM105
    nvs.set_safe_pins(load.safe_pins(settings.board))
except load.BoardError:
    pass  # the charger says it itself when it starts
its_id = settings.charger_id or "holdfast-" + chip.identity()[-6:]
tell({"changed": sorted(new), "notice": settings.notice, "id": its_id})
