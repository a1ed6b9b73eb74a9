"""The least world that a controller can live in: exact readings, no electrics, no drivers.

For tests of the charging room alone; the virtual board has the real physics.
"""

from firmware import ticks
from firmware.charging.controller import ChargingConfig, Controller
from firmware.charging.events import EventQueue
from firmware.charging.limits import Derating, Limits
from firmware.charging.signals import (
    DRIVE_LOCK,
    LOCK_LOCKED,
    LOCK_UNLOCKED,
    PILOT_PWM,
    PILOT_STEADY,
    Capabilities,
    Outputs,
    Permit,
    Readings,
)

TICK_MS = 20
LEVELS_MV = {"A": 12000, "B": 9000, "C": 6000, "D": 3000, "E": 0, "F": -12000}


class Plant:
    """A charger with socket, lock, feedback and meter-less board, at a car given as a letter."""

    def __init__(self, start_ms=0, has_rcd_test=False, fixed_cable_ma=0, **config):
        capabilities = Capabilities()
        capabilities.has_rcd = True
        capabilities.has_rcd_test = has_rcd_test
        capabilities.has_lock = capabilities.has_lock_feedback = True
        capabilities.has_proximity = capabilities.has_contactor_feedback = True
        self.config = ChargingConfig()
        for name, value in config.items():
            setattr(self.config, name, value)
        self.limits = Limits(16000, Derating(65, 68, 71, 62), fixed_cable_ma)
        self.controller = Controller(capabilities, self.config, self.limits)
        self.readings = Readings()
        self.outputs = Outputs()
        self.permit = Permit(True, "Ok")
        self.events = EventQueue(64)
        self.controller.listeners.append(self.events)
        self.now_ms = start_ms
        self.car = "A"
        self.cable_a = 32
        self.diode = True
        self.lock_works = True
        self.welded = False
        self.stuck_open = False
        self.high_mv = None  # a reading made by hand instead of the car's

    def tick(self):
        """Let the world follow the outputs, then step once."""
        readings, outputs = self.readings, self.outputs
        level = LEVELS_MV[self.car] if self.high_mv is None else self.high_mv
        readings.pilot_high_mv = readings.pilot_low_mv = level
        if outputs.pilot == PILOT_PWM:
            readings.pilot_low_mv = -12000 if self.diode or self.car == "A" else -level
        elif outputs.pilot != PILOT_STEADY:
            readings.pilot_high_mv = readings.pilot_low_mv = -12000
        readings.proximity_a = 0 if self.car == "A" else self.cable_a
        readings.contactor_closed = self.welded or (outputs.contactor and not self.stuck_open)
        if outputs.lock_drive and self.lock_works:
            readings.lock = LOCK_LOCKED if outputs.lock_drive == DRIVE_LOCK else LOCK_UNLOCKED
        self.controller.step(readings, self.permit, self.now_ms, outputs)
        self.now_ms = ticks.add(self.now_ms, TICK_MS)

    def run(self, ms):
        for _ in range(ms // TICK_MS):
            self.tick()

    def ms_until(self, condition, most_ms=60000):
        """Milliseconds of ticks until `condition()` holds; AssertionError when it never does."""
        for elapsed_ms in range(0, most_ms, TICK_MS):
            if condition():
                return elapsed_ms
            self.tick()
        raise AssertionError("not within %d ms: %s" % (most_ms, self.controller.reason))

    def to(self, name):
        """Bring a fresh charger into the pilot state `name` (A, B1, B2, C1, C2, D1, D2, E, F)."""
        self.run(2000)
        if name == "F":
            self.config.available = False
            self.run(200)
        elif name == "E":
            self.car = "E"
            self.run(200)
        elif name != "A":
            self.permit.allowed = name[1] == "2"
            self.permit.reason = "Ok" if self.permit.allowed else "NoPermit"
            self.car = name[0]
            self.run(8000)
        assert self.controller.pilot_name == name, (self.controller.pilot_name, name)
        return self
