"""The residual current device: its trip input and, where it has one, its self-test output."""

import machine


class Rcd:
    """Reads and drives the description's part "rcd"."""

    def __init__(self, part):
        pin = machine.Pin
        pull = pin.PULL_UP if part.get("pull_up") else None
        self._trip = pin(part["trip_pin"], pin.IN, pull)
        self._tripped_level = part["tripped_level"]
        self._test = None
        if "test_pin" in part:
            self._test_level = part["test_level"]
            self._test = pin(part["test_pin"], pin.OUT, value=1 - self._test_level)
        self.has_test = self._test is not None

    def is_tripped(self):
        return self._trip.value() == self._tripped_level

    def test(self, on):
        """Drive the self-test output, if there is one."""
        if self._test is not None:
            self._test.value(self._test_level if on else 1 - self._test_level)
