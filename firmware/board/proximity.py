"""The proximity contact: the resistor in the plug that tells what the cable can carry.

Promises: a rating is reported only when the voltage lies inside its range; open, short and
everything between two ranges are told apart from it.
"""

from firmware.board import voltage
from firmware.charging.signals import PROXIMITY_FAULT


class Proximity:
    """Reads the description's part "proximity"."""

    def __init__(self, part):
        self._ratings = part["ratings"]
        self._adc = voltage.open_input(part)

    def read_a(self):
        """Rating of the plugged cable in A, 0 without a cable, PROXIMITY_FAULT."""
        mv = (self._adc.read_uv() + 500) // 1000
        for rating in self._ratings:
            if rating[0] <= mv <= rating[1]:
                return rating[2]
        return PROXIMITY_FAULT
