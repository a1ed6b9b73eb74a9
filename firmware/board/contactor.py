"""The contactor, or two of them that switch together, with or without auxiliary contacts.

Promises: `open` and `close` write every pin each time they are called. Whether it may close is not
decided here.
"""

import machine


class Contactor:
    """Drives the description's part "contactor". It is open once this is built."""

    def __init__(self, part):
        pin = machine.Pin
        self._closed_level = part["closed_level"]
        self._closed = False
        self._coils = [pin(n, pin.OUT, value=1 - self._closed_level) for n in part["pins"]]
        pull = pin.PULL_UP if part.get("feedback_pull_up") else None
        self._feedback = [pin(n, pin.IN, pull) for n in part.get("feedback_pins", ())]
        self._feedback_closed_level = part.get("feedback_closed_level", 1)
        self.has_feedback = len(self._feedback) > 0

    def open(self):
        self._closed = False
        for coil in self._coils:
            coil.value(1 - self._closed_level)

    def close(self):
        self._closed = True
        for coil in self._coils:
            coil.value(self._closed_level)

    def is_closed(self):
        """What the auxiliary contacts say; without them, what was commanded.

        Of several contacts the one that disagrees with the command counts: one that welded is
        closed, one that did not close is open.
        """
        for contact in self._feedback:
            closed = contact.value() == self._feedback_closed_level
            if closed != self._closed:
                return closed
        return self._closed
