"""The ESP32's `network`: a station in the world's WiFi, and an access point of its own.

Promises: the names and constants of MicroPython 1.25 on the ESP32 that a charger needs, and its
ways: a station that fails or loses its network tries again at once and for ever, unless
config(reconnects=...) bounds that; the access point keeps its settings while it is off; a name that
config() does not know is a ValueError. The house's network takes any name, and the world's
`wifi_password` if that is set; it comes and goes with the world's `wifi`. `ap_clients` of the world
is how many phones are in the charger's own. No packet passes through here: sockets are the host's
own (see socket.py).

For tests: `tries`; `access_point()`; `ap_hook`, which is called with that when it changes.
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
_AP_ONLY = ("ssid", "essid", "hidden", "security", "authmode", "key", "password")
_NAMES = _AP_ONLY + ("mac", "channel", "max_clients", "reconnects", "txpower", "protocol", "pm")
_SHORT = {"essid": "ssid", "authmode": "security", "password": "key"}

tries = 0  # how often the station has looked for its network, by itself or because it was told to
ap_hook = None
takes_settings_while_off = True  # of the access point; not known of every version
_hostname = "mpy-esp32"
_country = "XX"
_active = [False, False]
_settings = [
    {"ssid": "", "key": "", "reconnects": -1},
    {"ssid": "ESP_000001", "key": "", "security": AUTH_OPEN, "channel": 1, "max_clients": 4},
]
_wanted = False  # connect() was called, and disconnect() was not
_trying = False
_connected = False
_since_ms = 0  # the station tries since
_left = 0  # tries that it makes by itself; -1: any number
_reason = 0  # of the last failure


def access_point():
    """What is on the air, as a dict; `on` is False and the rest what would be."""
    shown = dict(_settings[AP_IF])
    shown["on"] = _active[AP_IF]
    return shown


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    if len(name) > 32:
        raise ValueError
    _hostname = name


def country(code=None):
    global _country
    if code is None:
        return _country
    _country = code


def phy_mode(mode=None):
    return 0


def _try():
    global _trying, _since_ms, tries
    _trying = True
    _since_ms = world.ms
    tries += 1


def _fail(reason):
    global _trying, _connected, _reason, _left
    _connected = _trying = False
    _reason = reason
    if _left:
        _left -= 1
        _try()


def _look():
    """Let the station come to where it is by now."""
    global _trying, _connected, _reason
    world.sync()
    if _connected and not world.wifi:
        _fail(STAT_BEACON_TIMEOUT)
    elif _trying and world.diff(world.ms, _since_ms) >= _CONNECT_MS:
        if not world.wifi:
            _fail(STAT_NO_AP_FOUND)
        elif world.wifi_password not in ("", _settings[STA_IF]["key"]):
            _fail(STAT_WRONG_PASSWORD)
        else:
            _trying = False
            _connected = True
            _reason = 0


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
        global _wanted, _trying, _connected
        if on is None:
            return _active[self._if]
        _active[self._if] = bool(on)
        world.wlan_active = _active[0] or _active[1]
        if self._if == AP_IF:
            if ap_hook is not None:
                ap_hook(access_point())
        elif not on:
            _wanted = _trying = _connected = False
        return bool(on)

    def connect(self, ssid=None, key=None, *, bssid=None):
        global _wanted, _left
        if not _active[STA_IF]:
            raise OSError("Wifi Not Started")
        if ssid is not None:
            _settings[STA_IF]["ssid"] = ssid
            _settings[STA_IF]["key"] = key or ""
        if len(_settings[STA_IF]["key"]) not in (0,) + tuple(range(8, 65)):
            raise OSError("Wifi Invalid Password")
        _look()
        _wanted = True
        _left = _settings[STA_IF]["reconnects"]
        if not _connected:
            _try()

    def disconnect(self):
        global _wanted, _trying, _connected, _left
        if not _active[STA_IF]:
            raise OSError("Wifi Not Started")
        _wanted = _trying = _connected = False
        _left = 0

    def isconnected(self):
        if self._if == AP_IF:
            # The port does not look whether the access point is on: do not ask before.
            return bool(world.ap_clients) if _active[AP_IF] else True
        _look()
        return _connected

    def status(self, what=None):
        if what == "stations":
            if self._if != AP_IF:
                raise OSError("AP required")
            n = world.ap_clients if _active[AP_IF] else 0
            return [(bytes((2, 0, 0, 0, 1, i)),) for i in range(n)]
        if self._if == AP_IF:
            if what is not None:
                raise OSError("STA required")
            return None
        if what == "rssi":
            return -60
        if what is not None:
            raise ValueError("unknown status param")
        _look()
        if _connected:
            return STAT_GOT_IP
        if _wanted and _reason in (STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD):
            return _reason
        if _trying:
            return STAT_CONNECTING
        return _reason if _wanted and _reason else STAT_IDLE

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
            self._configure(settings)
            return None
        if what not in _NAMES or what in ("key", "password"):
            raise ValueError("unknown config param")
        if what == "mac":
            import machine

            mac = bytearray(machine.unique_id())
            mac[5] = (mac[5] + self._if) & 255
            return bytes(mac)
        return _settings[self._if].get(_SHORT.get(what, what), 0)

    def _configure(self, settings):
        for name in settings:
            if name not in _NAMES:
                raise ValueError("unknown config param")
            if name in _AP_ONLY and self._if != AP_IF:
                raise OSError("AP required")
            if name == "reconnects" and self._if != STA_IF:
                raise OSError("STA required")
        if self._if == AP_IF and not (_active[AP_IF] or takes_settings_while_off):
            raise OSError("Wifi Invalid Mode")
        for name in settings:
            _settings[self._if][_SHORT.get(name, name)] = settings[name]
        own = _settings[AP_IF]
        if own["security"] != AUTH_OPEN and not 8 <= len(own["key"]) <= 63:
            raise OSError("Wifi Invalid Password")
        if self._if == AP_IF and _active[AP_IF] and ap_hook is not None:
            ap_hook(access_point())

    def scan(self):
        if not _active[STA_IF]:
            raise OSError("STA must be active")
        if not world.wifi:
            return []
        return [(b"holdfast-test", b"\x02\x00\x00\x00\x00\x01", 6, -60, AUTH_WPA2_PSK, False)]
