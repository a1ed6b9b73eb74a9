"""The motor that moves the bolt of the socket, and the contact that tells where the bolt is.

Promises: the motor is never driven longer than its pulse, whatever is asked and even if nobody
asks any more: a timer ends the pulse, and so does `drive`, whichever comes first. After a pulse the
drive must have been asked to be off before it moves again. Retries are not decided here.
"""

import time

import machine
from micropython import const

from firmware import ticks
from firmware.charging.signals import (
    DRIVE_LOCK,
    DRIVE_OFF,
    LOCK_BETWEEN,
    LOCK_LOCKED,
    LOCK_UNLOCKED,
)

_TIMER = const(1)  # the ESP32 has 0 to 3; the dead man has 0


class LockMotor:
    """Drives and reads the description's part "lock". The motor is off once this is built."""

    def __init__(self, part):
        pin = machine.Pin
        self._off = part["off"]
        self._lock = part["lock"]
        self._unlock = part["unlock"]
        self.pulse_ms = part["pulse_ms"]
        self._a = pin(part["a_pin"], pin.OUT, value=self._off[0])
        self._b = pin(part["b_pin"], pin.OUT, value=self._off[1])
        self._contact = None
        if "feedback_pin" in part:
            pull = pin.PULL_UP if part.get("feedback_pull_up") else None
            self._contact = pin(part["feedback_pin"], pin.IN, pull)
            self._locked_level = part["locked_level"]
        self.has_feedback = self._contact is not None
        self._moving = DRIVE_OFF
        self._asked = DRIVE_OFF
        self._started_ms = 0
        self._position = LOCK_BETWEEN  # after the last pulse; nobody knows it at start-up
        self._timer = machine.Timer(_TIMER)
        self._end = self._pulse_ended  # bound once: binding allocates

    def drive(self, direction):
        """Ask for DRIVE_LOCK, DRIVE_UNLOCK or DRIVE_OFF; call it in every tick."""
        if self._moving and direction != self._moving:
            self.stop()
        elif self._moving:
            elapsed_ms = ticks.diff(time.ticks_ms() & ticks.MASK, self._started_ms)
            if elapsed_ms >= self.pulse_ms:
                self._pulse_ended(None)
        elif direction and not self._asked:
            self._start(direction)
        self._asked = direction

    def stop(self):
        """Take the drive away now. A pulse that is cut short leaves the bolt somewhere."""
        self._a.value(self._off[0])
        self._b.value(self._off[1])
        if self._moving:
            self._moving = DRIVE_OFF
            self._position = LOCK_BETWEEN
            self._timer.deinit()

    def position(self):
        """LOCK_LOCKED, LOCK_UNLOCKED or LOCK_BETWEEN; without a contact, by the last pulse."""
        if self._contact is None:
            return LOCK_BETWEEN if self._moving else self._position
        if self._contact.value() == self._locked_level:
            return LOCK_LOCKED
        return LOCK_BETWEEN if self._moving else LOCK_UNLOCKED

    def _start(self, direction):
        levels = self._lock if direction == DRIVE_LOCK else self._unlock
        # The timer runs before the motor does: if it cannot be had, the motor stays off.
        self._timer.init(mode=machine.Timer.ONE_SHOT, period=self.pulse_ms, callback=self._end)
        self._started_ms = time.ticks_ms() & ticks.MASK
        self._moving = direction
        self._a.value(levels[0])
        self._b.value(levels[1])

    def _pulse_ended(self, _timer):
        moving = self._moving
        self.stop()
        if moving:
            self._position = LOCK_LOCKED if moving == DRIVE_LOCK else LOCK_UNLOCKED
