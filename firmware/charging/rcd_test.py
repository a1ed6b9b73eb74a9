"""The self-test of the residual current device, before a session's first closing.

Drive the test input, see the trip, release, see it go. Either takes too long: failed.
"""

from micropython import const

_IDLE = const(0)
_DRIVING = const(1)
_RELEASING = const(2)
_PASSED = const(3)
_FAILED = const(4)

_TRIP_MS = const(500)
_CLEAR_MS = const(1000)


class RcdTest:
    """One test at a time; `drive` goes to the board, `running` hides the trip from the faults."""

    def __init__(self):
        self.drive = False
        self._phase = _IDLE
        self._ms = 0

    def reset(self):
        """Ask for a new test (the next `step` starts it)."""
        self._phase = _IDLE
        self.drive = False

    def passed(self):
        return self._phase == _PASSED

    def failed(self):
        return self._phase == _FAILED

    def running(self):
        return self._phase == _DRIVING or self._phase == _RELEASING

    def step(self, tripped, dt_ms):
        """Go on with the test. Call it only while the contactor is open."""
        self._ms += dt_ms
        if self._phase == _IDLE:
            if tripped:
                return  # a real trip: the fault handles it, the test waits
            self._enter(_DRIVING)
        elif self._phase == _DRIVING:
            if tripped:
                self._enter(_RELEASING)
            elif self._ms > _TRIP_MS:
                self._enter(_FAILED)
        elif self._phase == _RELEASING:
            if not tripped:
                self._enter(_PASSED)
            elif self._ms > _CLEAR_MS:
                self._enter(_FAILED)
        self.drive = self._phase == _DRIVING

    def _enter(self, phase):
        self._phase = phase
        self._ms = 0
