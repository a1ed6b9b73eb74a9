"""How the charger stands in the house's WiFi, and whether its own is on the air, for the status."""

import network

_WHY = {200: "lost", 201: "not-found", 202: "wrong-password", 203: "refused", 204: "refused"}


def seen(charger):
    """{"house": how, "rssi_dbm": how strong it is, or None, "own": True while its own is there}.

    How: "none" is wanted, "connected", or why not: "wrong-password", "not-found", "lost",
    "refused", and "trying" before the first of these is known.
    """
    house = network.WLAN(network.STA_IF)
    shown = {"house": "none", "rssi_dbm": None, "own": charger.station.door is not None}
    if charger.station.up:
        shown["house"] = "connected"
        try:
            shown["rssi_dbm"] = house.status("rssi")
        except OSError:
            pass  # it has just gone
    elif charger.settings.wifi_ssid:
        shown["house"] = _WHY.get(house.status(), "trying")
    return shown
