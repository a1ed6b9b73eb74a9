"""What the reader tests share: a board with a reader, its driver, and time that passes."""

import binascii
import gc
import sys

import machine
import world
from board_fixture import description

from firmware import ticks
from firmware.board import load

PARTS = {
    "uart": {"kind": "pn532_uart", "uart": 2, "tx_pin": 13, "rx_pin": 33},
    "i2c": {"kind": "pn532_i2c", "i2c": 0, "scl_pin": 22, "sda_pin": 21},
    "wiegand": {"kind": "wiegand", "d0_pin": 21, "d1_pin": 22},
}
CARDS = ("04A2B3C4", "04A2B3C4D5E6F7", "04A2B3C4D5E6F7890123")


class Rig:
    """A driver and its reader; `taps` are the numbers of the new cards so far."""

    def __init__(self, kind, start_ms=None, card=""):
        machine.devices.clear()
        del world.irqs[:]
        for i in range(len(world.timers)):
            world.timers[i] = None
        if start_ms is not None:
            world.start_at(start_ms)
        world.us = 0  # its wrap costs a byte or two, which are not the driver's
        world.set(card=card, reader_fault="")
        what = dict(description("esp32_devkit"))
        what.pop("reader", None)
        what["reader"] = PARTS[kind]
        machine.wire(what)
        self.chip = world.reader
        self.kind = kind
        self.driver = load.build_reader(PARTS[kind])
        self.taps = []
        self.most_i2c_bytes = 0

    def step(self, step_ms=16):
        """A tick; True if it brought a card."""
        world.advance_by(step_ms)
        before = machine.i2c_bytes
        new = self.driver.step(world.ms)
        went = machine.i2c_bytes - before
        if went > self.most_i2c_bytes:
            self.most_i2c_bytes = went
        return new

    def run(self, duration_ms, step_ms=16):
        """Tick for `duration_ms`; how many cards came."""
        driver = self.driver
        before = len(self.taps)
        for _ in range(0, duration_ms, step_ms):
            if self.step(step_ms):
                uid = driver.uid[: driver.length]
                assert driver.length in (4, 7, 10)
                assert not any(driver.uid[driver.length :])
                self.taps.append(binascii.hexlify(uid).decode().upper())
        assert world.callback_errors == 0
        return len(self.taps) - before

    def until(self, condition, within_ms, step_ms=16):
        """Tick until `condition()`; how long it took."""
        start = world.ms
        while not condition():
            took = ticks.diff(world.ms, start)
            assert took <= within_ms, (self.kind, took, self.driver.ok, self.driver.failures)
            self.run(step_ms, step_ms)
        return ticks.diff(world.ms, start)

    def allocated(self, steps):
        """Bytes that so many ticks allocate."""
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        for _ in range(steps):
            self.step()
        after = gc.mem_alloc()
        gc.enable()
        return after - before


def run(names):
    """Run the test of the calling script that the command line names."""
    names[sys.argv[1]]()
