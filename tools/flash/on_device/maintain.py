# Sets (1) or clears (0) the flag that makes boot.py start no application.
# ruff: noqa: F821
# mypy: ignore-errors
import esp32

(on,) = ARGUMENTS
nvs = esp32.NVS("holdfast")
nvs.set_i32("maint", on)
nvs.commit()
