"""The light that a driver sees: single LEDs or one of several colours."""

import machine
from micropython import const

from firmware.charging.signals import LED_CHARGING, LED_FAULT, LED_OFF, LED_READY, LED_WAITING

_UNKNOWN = const(-1)


class Led:
    """Drives the description's part "led"."""

    def __init__(self, part):
        pin = machine.Pin
        self._on_level = part["on_level"]
        self._pins = [pin(n, pin.OUT, value=1 - self._on_level) for n in part["pins"]]
        self._patterns = {
            LED_OFF: (0,) * len(self._pins),
            LED_READY: part["ready"],
            LED_WAITING: part["waiting"],
            LED_CHARGING: part["charging"],
            LED_FAULT: part["fault"],
        }
        self._shown = _UNKNOWN

    def show(self, led):
        """Show Outputs.led; writes pins only when it changed."""
        if led == self._shown:
            return
        self._shown = led
        pattern = self._patterns[led]
        for i in range(len(self._pins)):
            on = pattern[i]
            self._pins[i].value(self._on_level if on else 1 - self._on_level)
