"""What the list of keys says of a card. Loaded for each card that is held to the reader."""

from firmware.access import keys
from firmware.access.decision import EXPIRED, KNOWN, UNKNOWN

_SERVICE = "service"  # the owner of keys that open the charger's own WiFi for a time


def answer(charger):
    """Tell the access room what it wants to know."""
    access, file = charger.access, charger.keys
    listed, parent = UNKNOWN, ""
    if file.find(access.number(access.looks_up)) >= 0:
        utc_s = charger.clock.utc_s()  # while it is unknown no key is known to have expired
        expired = utc_s is not None and keys.is_expired(file.row, utc_s)
        listed, parent = EXPIRED if expired else KNOWN, keys.parent(file.row)
        if parent == _SERVICE and listed == KNOWN and charger.station:
            charger.station.left_ms = charger.settings.ap_minutes * 60000
    access.found(listed, parent)
