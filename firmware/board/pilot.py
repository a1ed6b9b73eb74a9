"""The control pilot: its PWM, and the two voltages of the line measured around it.

Promises: `read` finds the upper and the lower level at every duty from 10 to 96 % and at a steady
level, whatever the phase, in 4 ms; a single disturbed sample changes nothing (at more than 90 % the
lower half is too short for that). The PWM is written only when it changes.

How the burst works: a sample every 121 us, 33 times. 121 us and the period of 1000 us have no
common divisor, so that each sample falls into another phase: sorted, the phases (i * 121) mod 1000
leave no gap above 31 us (34 us where the chip's 1 kHz is off by 0.2 %). The lower half of 96 % is
40 us wide and gets a sample, a half of 10 % is 100 us and gets three. Found by trying all spacings
from 95 to 400 us: of those that need less than 4 ms for gaps of 36 us at most, this one leaves time
for a conversion of 90 us and the interpreter, and bears the largest error of the frequency. A
fixed delay of the conversion only shifts the phases. A sample that is late, because something
interrupted the interpreter, is taken a period later, where the phase is the same.
"""

import time

import machine
from micropython import const

from firmware.board import voltage
from firmware.charging.signals import PILOT_E, PILOT_F, PILOT_PWM

_SAMPLES = const(33)
_SPACING_US = const(121)
_PERIOD_US = const(1000)
_LATE_US = const(8)
_MOST_LATE = const(4)  # periods that a disturbed burst may take longer

_FREQUENCY_HZ = const(1000)
_STEADY_HIGH = const(65535)
_STEADY_LOW = const(0)
_ONE_SAMPLE_PERMILLE = const(900)  # above it the lower half is sure of one sample only


class Pilot:
    """Drives and reads the pilot line of the description's part "pilot"."""

    def __init__(self, part):
        self.high_mv = 0
        self.low_mv = 0
        self._curve = part["levels_mv"]
        self._read_uv = voltage.open_input(part).read_uv  # bound once: binding allocates
        self._cut = None
        if "cut_pin" in part:
            self._cut_level = part["cut_level"]
            self._cut = machine.Pin(part["cut_pin"], machine.Pin.OUT, value=1 - self._cut_level)
        self._duty_u16 = _STEADY_HIGH
        self._is_cut = False
        pin = machine.Pin(part["pwm_pin"])
        self._pwm = machine.PWM(pin, freq=_FREQUENCY_HZ, duty_u16=_STEADY_HIGH)

    def drive(self, pilot, duty_permille):
        """Put the level Outputs.pilot on the line; `duty_permille` counts for PILOT_PWM only."""
        cut = pilot == PILOT_E and self._cut is not None
        if pilot == PILOT_PWM:
            duty_u16 = min((duty_permille * 65536 + 500) // 1000, _STEADY_HIGH)
        elif pilot == PILOT_F or pilot == PILOT_E and not cut:
            duty_u16 = _STEADY_LOW
        else:
            duty_u16 = _STEADY_HIGH
        if duty_u16 != self._duty_u16:
            self._duty_u16 = duty_u16
            self._pwm.duty_u16(duty_u16)
        if cut != self._is_cut:
            self._is_cut = cut
            self._cut.value(self._cut_level if cut else 1 - self._cut_level)

    def make_steady(self):
        """+12 V without PWM, written whatever was written before."""
        self._duty_u16 = _STEADY_HIGH
        self._pwm.duty_u16(_STEADY_HIGH)
        if self._cut is not None:
            self._is_cut = False
            self._cut.value(1 - self._cut_level)

    def read(self):
        """Measure `high_mv` and `low_mv` of the line itself; takes 4 ms."""
        read_uv = self._read_uv
        highest = second_high = -1
        lowest = second_low = 0x3FFFFFFF
        moves = _MOST_LATE
        due = time.ticks_us()
        for _ in range(_SAMPLES):
            wait_us = time.ticks_diff(due, time.ticks_us())
            while wait_us < -_LATE_US and moves:
                moves -= 1
                wait_us += _PERIOD_US
                due = time.ticks_add(due, _PERIOD_US)
            if wait_us > 0:
                time.sleep_us(wait_us)
            uv = read_uv()
            if uv > second_high:
                if uv > highest:
                    second_high = highest
                    highest = uv
                else:
                    second_high = uv
            if uv < second_low:
                if uv < lowest:
                    second_low = lowest
                    lowest = uv
                else:
                    second_low = uv
            due = time.ticks_add(due, _SPACING_US)
        if self._duty_u16 > _ONE_SAMPLE_PERMILLE * 65536 // 1000 and self._duty_u16 != _STEADY_HIGH:
            second_low = lowest
        self.high_mv = voltage.along(self._curve, (second_high + 500) // 1000)
        self.low_mv = voltage.along(self._curve, (second_low + 500) // 1000)
