# Puts changes into the settings, and the PIN if there is none yet or it is to be replaced. Then
# leaves for boot.py what is safe for the board that the settings name; no pin is moved. Uses the
# firmware that was just copied.
# ruff: noqa: F821
# mypy: ignore-errors
from firmware.settings import Settings

changes, pin, replace_pin = ARGUMENTS
settings = Settings()
settings.load()
new = {name: value for name, value in changes.items() if settings.get(name) != value}
if replace_pin or not settings.pin:
    new["pin"] = pin
if new:
    settings.set_many(new)
    settings.save()

from firmware.board import board, nvs  # noqa: E402

try:  # noqa: SIM105
    nvs.set_safe_pins(board.safe_pins(settings.board))
except board.BoardError:
    pass  # the charger says it itself when it starts
tell({"changed": sorted(new), "notice": settings.notice})
