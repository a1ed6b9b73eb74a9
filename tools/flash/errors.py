"""What ends a flash before its time."""


class FlashError(Exception):
    """Its text is one sentence that says what is wrong, and what to do about it."""


class SilentError(FlashError):
    """The device stopped answering, or never did."""
