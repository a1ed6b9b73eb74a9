"""What each charger has for itself from its first flash on: drawn anew, never a default."""

import secrets

_PIN_DIGITS = 6
# Read off a sticker and typed on a phone: one case, and nothing that looks like something else.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
# 31 ** 12 is 59 bits: whoever records a phone joining can guess at home, as fast as he likes.
_PASSWORD_LENGTH = 12


def new_pin() -> str:
    """A PIN for the page: six digits."""
    return f"{secrets.randbelow(10**_PIN_DIGITS):0{_PIN_DIGITS}}"


def new_password() -> str:
    """A password for the charger's own WiFi: twelve small letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_PASSWORD_LENGTH))
