"""Drives one Backoff by a script of commands and prints what it decides, line by line.

Runs under both interpreters of MicroPython and under CPython: the same stream of random numbers
must give the same decisions. Arguments: seed of the commands, their number.
"""

import sys

from firmware.uplink import backoff

state = int(sys.argv[1])


def draw():
    """15 bits of a linear congruential generator that is the same everywhere."""
    global state
    state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return state >> 16


WINDOWS = (0, 1, 2, 30, 250, 260, 4000, 14400, 14401, 65535)
HEADS = (0, 1, 10, 24, 50, 100)
charger = backoff.Backoff()
for _ in range(int(sys.argv[2])):
    what = draw() % 8
    if what == 0:
        charger.stable()
    elif what == 1:
        charger.hint_s = WINDOWS[draw() % len(WINDOWS)]
    elif what == 2:
        charger.window_s = WINDOWS[draw() % len(WINDOWS)]
        charger.head_percent = HEADS[draw() % len(HEADS)]
    elif what == 3:
        charger.urgency = draw() % 3
    else:
        charger.ended(draw() % 5)
    ms = charger.wait_ms(draw)
    waited_ms = ms * (draw() % 4) // 3
    print(what, ms, charger.left_ms(waited_ms), charger.failures, charger.refusals)
