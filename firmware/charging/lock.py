"""The cable lock: when to drive its motor, how often to try, and when to give up.

The motor gets pulses: drive, let the contact settle, look, and try again after a rest. The board
bounds each pulse by itself as well. Unlocking waits until the caller says that the contactor is
confirmed open, and stops at once when it is not any more.

One contact cannot tell a bolt that is out from one that is stuck half way: it only says "not
locked". So "open" is believed only after a pulse that opened, and whoever asks again gets another.
"""

from micropython import const

from firmware.charging.signals import (
    DRIVE_LOCK,
    DRIVE_OFF,
    DRIVE_UNLOCK,
    LOCK_LOCKED,
    LOCK_UNLOCKED,
)

# What can be wanted of the lock
LEAVE = const(0)
LOCK = const(1)
UNLOCK = const(-1)

_RESTING = const(0)
_DRIVING = const(1)
_SETTLING = const(2)

_SETTLE_MS = const(150)  # from the end of a pulse until the feedback contact is believed
_REST_MS = const(850)  # between two tries: the motor cools, somebody may push the plug in
_TRIES = const(4)
_UNLOCK_AGAIN_MS = const(20000)  # a cable is never given up: one more series of tries, for ever


class Lock:
    """Motor and contact. `failed` is LOCK or UNLOCK once all tries were in vain, else LEAVE."""

    def __init__(self, pulse_ms):
        self.drive = DRIVE_OFF
        self.failed = LEAVE
        self.opened = False  # the last pulse was one to unlock, and the contact agrees
        self._pulse_ms = pulse_ms
        self._phase = _RESTING
        self._left_ms = 0  # of the phase
        self._direction = LEAVE
        self._tries = 0

    def retry(self):
        """Forget that tries failed, so that the next `step` may drive again."""
        self.failed = LEAVE
        self._tries = 0
        if self._phase == _RESTING:
            self._left_ms = 0

    def unlock_again(self):
        """Drive one more pulse when unlocking is wanted next, whatever the contact says.

        After tries that failed at once: who asks may have pushed the plug in.
        """
        self.opened = False
        if self.failed == UNLOCK:
            self.retry()

    def step(self, want, may_unlock, position, dt_ms):
        """Decide `drive` for this tick from what is wanted; `position` is Readings.lock."""
        self._left_ms = max(0, self._left_ms - dt_ms)
        if want == UNLOCK and not may_unlock:
            want = LEAVE
        at_goal = position == (LOCK_LOCKED if self._direction == LOCK else LOCK_UNLOCKED)
        if position != LOCK_UNLOCKED:
            self.opened = False

        if self._phase == _DRIVING:
            unwanted = want == -self._direction or (self._direction == UNLOCK and want != UNLOCK)
            if self._left_ms == 0 or unwanted:
                self.drive = DRIVE_OFF
                self._phase = _SETTLING
                self._left_ms = _SETTLE_MS
            return
        if self._phase == _SETTLING:
            if self._left_ms:
                return
            self._phase = _RESTING
            self._left_ms = 0 if at_goal else _REST_MS
            self.opened = at_goal and self._direction == UNLOCK

        if want != self._direction:
            self._direction = want
            self.retry()
            at_goal = position == (LOCK_LOCKED if want == LOCK else LOCK_UNLOCKED)
        if want == LEAVE:
            return
        if at_goal and (want == LOCK or self.opened):
            self.retry()
            return
        if self._left_ms:
            return
        if self._tries == _TRIES:
            self.failed = want
            if want == UNLOCK:
                self._tries = 0
                self._left_ms = _UNLOCK_AGAIN_MS
            return
        self._tries += 1
        self.opened = False
        self.drive = DRIVE_LOCK if want == LOCK else DRIVE_UNLOCK
        self._phase = _DRIVING
        self._left_ms = self._pulse_ms
