"""Energy and current from the S0 pulses of a meter.

Promises: `wh` only grows and counts each pulse exactly, whatever a pulse is worth. `current_ma` is
that of each phase, the phases taken as equal.

Integers only, below 2^30: what is less than a Wh is carried in a finer unit.
"""

import time

import machine
from micropython import const

from firmware import ticks

# n pulses per kWh: a pulse every t ms is a power of 3.6e9 / n / t W.
_W_MS_PER_KWH = const(3600000000)

# Power is averaged over pulses that span this at least: an interpreter that was stalled (flash
# erase) may see a pulse 400 ms late.
_WINDOW_MS = const(3000)

# Current should flow and no pulse comes for the time of four pulses at 230 W (1 A), at least 60 s:
# the meter is silent. A full car may draw less without leaving state C: a warning, not a fault.
_LEAST_W = const(230)
_SILENT_PULSES = const(4)
_SILENT_MS = const(60000)
_LONG_MS = const(100000000)  # counters stop here

_MASK = const(0x3FFFFFFF)


class PulseMeter:
    """Counts the description's part "meter"; `settings` says what a pulse is worth."""

    is_estimate = False

    def __init__(self, part, settings, now_ms):
        self.wh = 0
        self.power_w = 0
        self.current_ma = 0
        self.is_ok = True
        self._settings = settings
        self._per_kwh = settings.meter_pulses_per_kwh
        self._w_ms = min(_W_MS_PER_KWH // self._per_kwh, _MASK)
        self._silent_ms = max(_SILENT_MS, min(self._w_ms // _LEAST_W * _SILENT_PULSES, _LONG_MS))
        self._pulses = 0  # counted by the interrupt, wraps
        self._pulse_ms = now_ms  # when the last one came
        self._counted = 0
        self._rest = 0  # less than a Wh, in 1 / _per_kwh Wh
        self._window_ms = now_ms  # the pulse before the running average
        self._window_pulses = 0
        self._average_w = 0
        self._waiting_ms = 0  # for a pulse, while current should flow
        self._last_ms = now_ms
        pin = machine.Pin
        pull = pin.PULL_UP if part.get("pull_up") else None
        self._pin = pin(part["pulse_pin"], pin.IN, pull)
        self._pin.irq(handler=self._on_pulse, trigger=pin.IRQ_FALLING)

    def _on_pulse(self, _pin):
        self._pulses = (self._pulses + 1) & _MASK
        self._pulse_ms = time.ticks_ms() & ticks.MASK

    def read(self, now_ms, flowing, _offered_ma):
        """Bring the attributes up to `now_ms`; `flowing`: a car should be drawing current."""
        dt_ms = max(0, ticks.diff(now_ms, self._last_ms))
        self._last_ms = now_ms
        new = (self._pulses - self._counted) & _MASK
        if new:
            self._counted = (self._counted + new) & _MASK
            self._rest += new * 1000
            self.wh += self._rest // self._per_kwh
            self._rest %= self._per_kwh
            self._average(new)
        if new or not flowing:
            self._waiting_ms = 0
        else:
            self._waiting_ms = min(self._waiting_ms + dt_ms, _LONG_MS)
        if new:
            self.is_ok = True
        elif self._waiting_ms >= self._silent_ms:
            self.is_ok = False
        # The next pulse is still to come: the power is less than if it came just now.
        quiet_ms = max(1, ticks.diff(now_ms, self._pulse_ms))
        settings = self._settings
        self.power_w = min(self._average_w, self._w_ms // quiet_ms)
        self.current_ma = self.power_w * 1000 // (settings.mains_v * settings.phases)

    def _average(self, new):
        self._window_pulses += new
        span_ms = ticks.diff(self._pulse_ms, self._window_ms)
        if 0 <= span_ms < _WINDOW_MS:
            return
        pulses = min(self._window_pulses, _MASK // self._w_ms)
        self._average_w = self._w_ms * pulses // max(1, span_ms)
        self._window_ms = self._pulse_ms
        self._window_pulses = 0
