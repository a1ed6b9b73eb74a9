"""The interpreter's own sockets, with the board's addresses mapped to this machine's.

A server that asks for 0.0.0.0 (or "", or the access point's address) gets the loopback interface,
and the port that the launcher chose for it: `ports` maps the board's port to the host's. A host
name needs the world's WiFi, and only the names in `hosts` exist: the virtual world has no internet,
so that no test reaches it.
"""

import usocket
import world
from usocket import *  # noqa: F403

ports = {}  # {80: 8080}; the boot ROM fills it
hosts = {}  # {"cloud.example": ("127.0.0.1", 1883)}: names that the bench serves


def getaddrinfo(host, port, *rest):
    """As usual. OSError(-2): no such name, or no network to ask for it."""
    if host in ("0.0.0.0", "192.168.4.1", "", None):
        # DNS has a port of this machine that nobody knows, unless the launcher chose one.
        place = ports.get(port, 0 if port == 53 else port)
        return usocket.getaddrinfo("127.0.0.1", place, *rest)
    if host not in ("127.0.0.1", "localhost") and not world.wifi:
        raise OSError(-2)
    place = hosts.get(host)
    if place:
        return usocket.getaddrinfo(place[0], place[1] or port, *rest)
    if host != "localhost" and not all(c in "0123456789." for c in host):
        raise OSError(-2)
    return usocket.getaddrinfo(host, port, *rest)
