"""A whole charger in virtual time: the world's physics, the real drivers, the real controller.

What is missing is only asyncio and the rooms around it. Run with tools/virtual/board on the path.
"""

import machine
import world

from firmware.board.load import load_board
from firmware.charging.controller import ChargingConfig, Controller
from firmware.charging.limits import Derating, Limits
from firmware.charging.signals import Outputs, Permit, Readings

TICK_MS = 20


class BoardSettings:
    """The settings that a board reads."""

    meter_pulses_per_kwh = 1000
    phases = 1
    mains_v = 230


def load_description(name):
    module = __import__("firmware.board." + name, None, None, ["BOARD"])
    return module.BOARD


class Rig:
    """One charger at the world's pins; `boot` builds the firmware's part anew, as a reset does."""

    def __init__(self, board_name, fixed_cable_ma=0):
        self.board_name = board_name
        self.permit = Permit(True, "Ok")
        self.config = ChargingConfig()
        self._fixed_cable_ma = fixed_cable_ma
        self.config.tethered = fixed_cable_ma > 0
        machine.wire(load_description(board_name))
        self.boot()

    def boot(self):
        self.board = load_board(self.board_name, BoardSettings)
        self.readings = Readings()
        self.outputs = Outputs()
        self.limits = Limits(16000, Derating(65, 68, 71, 62), self._fixed_cable_ma)
        self.controller = Controller(self.board.capabilities, self.config, self.limits)

    def cut_power(self, off_ms=100):
        """Everything that the controller knew is gone; pins float, timers stop."""
        world.carry_over(False, (0, 0), (0, 0))
        for number in range(4):
            machine.Timer(number).deinit()
        world.advance_by(off_ms)
        self.boot()

    def tick(self, step_ms=TICK_MS):
        world.advance_by(step_ms)
        self.step()

    def step(self):
        self.board.read(self.readings)
        self.controller.step(self.readings, self.permit, world.ms, self.outputs)
        self.board.apply(self.outputs)
