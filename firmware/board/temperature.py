"""The temperature inside the charger, from an analog sensor and its table.

Promises: smoothed over eight ticks, because the ESP32's ADC wanders by about a degree; a sensor
that leaves its table (broken wire, short) is reported at once as NO_TEMPERATURE.
"""

from firmware.board import voltage
from firmware.charging.signals import NO_TEMPERATURE


class Temperature:
    """Reads the description's part "temperature"."""

    def __init__(self, part):
        self._table = part["table_mv"]
        self._most_mv = self._table[0][0]
        self._least_mv = self._table[-1][0]
        self._sum_mv = -1  # eight times the smoothed voltage; negative: none yet
        self._adc = voltage.open_input(part)

    def read_dc(self):
        """Tenths of a degree C, or NO_TEMPERATURE."""
        mv = (self._adc.read_uv() + 500) // 1000
        if not self._least_mv <= mv <= self._most_mv:
            self._sum_mv = -1
            return NO_TEMPERATURE
        if self._sum_mv < 0:
            self._sum_mv = mv * 8
        else:
            self._sum_mv += mv - self._sum_mv // 8
        return voltage.along(self._table, self._sum_mv // 8)
