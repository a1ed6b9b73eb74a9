"""What is done to the radio now and then, and the names that the charger has by WiFi.

The charger's own network has WPA2 and the password of the settings, or it is not there: never open,
never with a password that another charger has. `house` and `ap` are the two network.WLAN. It runs
on CPython as well, for the sticker.
"""

import select
import socket

ADDRESS = "192.168.4.1"  # of the access point; the port gives it
_WPA2 = 3  # network.AUTH_WPA2_PSK
_GUESTS = 4  # as many as the web server has connections


def network_name(charger_id):
    """The name of the charger's own network, at most 32 bytes: of a long id the end."""
    if charger_id[:9].lower() == "holdfast-":
        charger_id = charger_id[9:]
    return "Holdfast-" + charger_id[-23:]


def host_name(charger_id):
    """The name in DHCP and mDNS: letters, digits and dashes, at most 32, none at either end."""
    name = charger_id[:32].replace("_", "-").replace(".", "-").strip("-")
    return name or "holdfast"


def begin(house, charger_id):
    """Switch the radio on; the chip stalls for a moment. OSError if it refuses."""
    import network

    network.hostname(host_name(charger_id))
    house.active(True)


def join(house, ssid, password):
    """Leave whatever network it is in, and make one try to join `ssid`, if that is not empty.

    One: left alone the port would look for the network again and again without a pause, and take
    the radio away from the phones in the charger's own.
    """
    try:
        house.disconnect()
    except OSError:
        pass  # it was in none
    if ssid:
        try:
            house.config(reconnects=0)
            house.connect(ssid, password)
        except OSError as e:
            print("holdfast: the house's WiFi cannot be joined:", e)


def open_door(ap, charger_id, password):
    """Put the charger's own network on the air; a list of a poller and of the socket for DNS.

    Where nobody can have port 53 the list is empty: phones then have to be told the address.
    OSError if the radio refuses.
    """
    settings = {
        "ssid": network_name(charger_id),
        "security": _WPA2,
        "key": password,
        "max_clients": _GUESTS,
    }
    try:
        ap.config(**settings)  # before it is on, so that it is never there with others
    except OSError:
        pass  # a port that takes them only from one that is on
    try:
        ap.active(True)
        ap.config(**settings)
        return _watch()
    except:
        ap.active(False)
        raise


def _watch():
    try:
        its = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        its.setblocking(False)
        # Not 0.0.0.0: the house's network has a DNS of its own.
        its.bind(socket.getaddrinfo(ADDRESS, 53)[0][-1])
    except OSError as e:
        print("holdfast: no DNS in the charger's own WiFi:", e)
        return []
    poller = select.poll()
    poller.register(its, select.POLLIN)
    return [poller, its]


def close_door(ap, door):
    """Take it off the air; `door` is what `open_door` returned."""
    for its in door[1:]:
        its.close()
    ap.active(False)
