"""The access room: who may charge, and when. Pure: no pins, no files, no clock of its own."""


class BadKey(ValueError):
    """A key, or a list of them, was refused: `field`, and `reason` as a sentence fragment."""

    def __init__(self, field, reason):
        super().__init__(field + " " + reason)
        self.field = field
        self.reason = reason
