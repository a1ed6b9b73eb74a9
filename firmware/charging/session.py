"""One charging session: from the permit at a connected car until the car leaves or is stopped."""

from micropython import const

# Why a session ended: Reason values of OCPP 1.6
EV_DISCONNECTED = "EVDisconnected"
LOCAL = "Local"
UNLOCK_COMMAND = "UnlockCommand"

_LONG_S = const(0x3FFFFFFF)


class Session:
    """The session that runs, or the last one that did. Its energy only ever grows."""

    def __init__(self):
        self.active = False
        self.id = 0  # counts from 1 since the charger started
        self.energy_wh = 0
        self.estimated = False  # True: some of the energy was estimated, not measured
        self.duration_s = 0
        self.stop_reason = ""
        self._meter_wh = 0
        self._rest_ms = 0

    def start(self, readings):
        self.active = True
        self.id += 1
        self.energy_wh = 0
        self.estimated = False
        self.duration_s = 0
        self.stop_reason = ""
        self._meter_wh = readings.meter_wh
        self._rest_ms = 0

    def step(self, readings, dt_ms):
        """Add what the meter counted since the last tick. A register that falls adds nothing."""
        wh = readings.meter_wh - self._meter_wh
        self._meter_wh = readings.meter_wh
        if wh > 0:
            self.energy_wh += wh
            if readings.meter_estimated or not readings.meter_ok:
                self.estimated = True
        self._rest_ms += dt_ms
        while self._rest_ms >= 1000:
            self._rest_ms -= 1000
            if self.duration_s < _LONG_S:
                self.duration_s += 1

    def end(self, reason):
        self.active = False
        self.stop_reason = reason
