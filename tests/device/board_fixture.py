"""What the board tests share: a wired world, settings, and a board that exists nowhere else."""

import sys

import machine
import world

from firmware.board.board import Board
from firmware.charging.signals import Outputs, Readings

# Two contactors with auxiliary contacts, a lock without contact, active-low outputs, an RCD with a
# self-test, an S0 meter, a divider of its own for the pilot: made of data alone.
MADE_UP = {
    "name": "Made up",
    "pilot": {
        "pwm_pin": 5,
        "adc_pin": 32,
        "adc_range_mv": 3100,
        "levels_mv": ((3000, 12000), (1750, 0), (500, -12000)),
    },
    "proximity": {
        "adc_pin": 33,
        "adc_range_mv": 3100,
        "ratings": (
            (2800, 3300, 0),
            (2000, 2400, 13),
            (1000, 1500, 20),
            (600, 800, 32),
            (300, 500, 63),
        ),
    },
    "contactor": {
        "pins": (22, 23),
        "closed_level": 0,
        "feedback_pins": (34, 35),
        "feedback_closed_level": 0,
    },
    "lock": {
        "a_pin": 18,
        "b_pin": 19,
        "off": (0, 0),
        "lock": (1, 0),
        "unlock": (0, 1),
        "pulse_ms": 500,
    },
    "led": {
        "pins": (2,),
        "on_level": 0,
        "ready": (1,),
        "waiting": (1,),
        "charging": (1,),
        "fault": (0,),
    },
    "rcd": {
        "trip_pin": 13,
        "tripped_level": 0,
        "pull_up": True,
        "test_pin": 12,
        "test_level": 1,
    },
    "temperature": {
        "adc_pin": 36,
        "adc_range_mv": 3100,
        "table_mv": ((2500, -200), (1500, 250), (500, 1000)),
    },
    "meter": {"pulse_pin": 25, "pull_up": True},
}


class Settings:
    mains_v = 230
    phases = 1
    meter_pulses_per_kwh = 1000


def description(name):
    if name == "made_up":
        return MADE_UP
    return __import__("firmware.board." + name, None, None, ("BOARD",)).BOARD


def build(name):
    """(board, readings, outputs) on a world wired as the board's description says."""
    what = description(name)
    machine.wire(what)
    return Board(what, Settings), Readings(), Outputs()


def near(value, wanted, by=150):
    assert wanted - by <= value <= wanted + by, (value, wanted)


def run(names):
    """Run the test of the calling script that the command line names."""
    names[sys.argv[1]]()


def let_pass(board, readings, outputs, duration_ms, step_ms=20):
    """Tick for `duration_ms`."""
    start = world.ms
    while world.diff(world.ms, start) < duration_ms:
        board.apply(outputs)
        world.advance_by(step_ms - 4)
        board.read(readings)
