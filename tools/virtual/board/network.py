"""The ESP32's `network`: a station that connects while the world has WiFi, and an access point.

Promises: the names and constants of MicroPython 1.25 on the ESP32 that a charger needs; connecting
takes a little time; the station drops when the world's WiFi does. No packet passes through here:
sockets are the host's own (see socket.py).
"""

import world

STA_IF = 0
AP_IF = 1

STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_BEACON_TIMEOUT = 200
STAT_ASSOC_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204

AUTH_OPEN = 0
AUTH_WEP = 1
AUTH_WPA_PSK = 2
AUTH_WPA2_PSK = 3
AUTH_WPA_WPA2_PSK = 4
AUTH_WPA3_PSK = 6
AUTH_WPA2_WPA3_PSK = 7

_CONNECT_MS = 300
_hostname = "mpy-esp32"
_country = "XX"
_active = [False, False]
_settings = [{}, {"ssid": "ESP_000001", "authmode": AUTH_OPEN, "channel": 1}]
_since_ms = -1  # the station tries since; -1 it does not


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    _hostname = name


def country(code=None):
    global _country
    if code is None:
        return _country
    _country = code


def phy_mode(mode=None):
    return 0


class WLAN:
    """One of the two interfaces of the radio."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    SEC_OPEN = AUTH_OPEN
    SEC_WPA2 = AUTH_WPA2_PSK
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2

    def __init__(self, interface=STA_IF):
        if interface not in (STA_IF, AP_IF):
            raise ValueError("invalid WLAN interface identifier")
        self._if = interface

    def active(self, on=None):
        global _since_ms
        if on is None:
            return _active[self._if]
        _active[self._if] = bool(on)
        world.wlan_active = _active[0] or _active[1]
        if self._if == STA_IF and not on:
            _since_ms = -1
        return bool(on)

    def connect(self, ssid=None, key=None, **settings):
        global _since_ms
        if not _active[STA_IF]:
            raise OSError("Wifi Not Started")
        if ssid is not None:
            _settings[STA_IF]["ssid"] = ssid
        world.sync()
        _since_ms = world.ms

    def disconnect(self):
        global _since_ms
        _since_ms = -1

    def isconnected(self):
        if self._if == AP_IF:
            return False
        return self.status() == STAT_GOT_IP

    def status(self, what=None):
        if what == "rssi":
            return -60
        if what == "stations":
            return []
        if self._if == AP_IF or _since_ms < 0:
            return STAT_IDLE
        world.sync()
        if not world.wifi:
            return STAT_NO_AP_FOUND
        if world.diff(world.ms, _since_ms) < _CONNECT_MS:
            return STAT_CONNECTING
        return STAT_GOT_IP

    def ifconfig(self, settings=None):
        if self._if == AP_IF:
            return ("192.168.4.1", "255.255.255.0", "192.168.4.1", "192.168.4.1")
        if self.isconnected():
            return ("192.168.1.50", "255.255.255.0", "192.168.1.1", "192.168.1.1")
        return ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")

    def ipconfig(self, what=None, **settings):
        if what in ("addr4", "gw4"):
            address = self.ifconfig()
            return address[:2] if what == "addr4" else address[2]

    def config(self, what=None, **settings):
        if what is None:
            _settings[self._if].update(settings)
            return None
        if what == "mac":
            import machine

            mac = bytearray(machine.unique_id())
            mac[5] = (mac[5] + self._if) & 255
            return bytes(mac)
        if what in ("essid", "ssid"):
            return _settings[self._if].get("ssid", "")
        return _settings[self._if].get(what, 0)

    def scan(self):
        if not _active[STA_IF]:
            raise OSError("STA must be active")
        if not world.wifi:
            return []
        return [(b"holdfast-test", b"\x02\x00\x00\x00\x00\x01", 6, -60, AUTH_WPA2_PSK, False)]
