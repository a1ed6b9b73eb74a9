"""The WiFi task through random days: what must hold whatever network, phones and settings do.

Arguments: seed, hours. Everything is judged by what is on the air and by the port's own tries, with
clocks of this file's own. Prints what happened how often.
"""

import random
import sys

import network
import world
from wifi_rig import KEY, OTHER_KEY, Rig

from firmware.web import radio

random.seed(int(sys.argv[1]))
HOURS = int(sys.argv[2])
SETTLED_MS = 2600  # two seconds for an answer, a round, and another
NAME = radio.network_name("garage-1")
settings = {"ap_password": KEY, "wifi_ssid": "house", "wifi_password": "right678"}
rig = Rig(lambda most_ms: random.randrange(most_ms + 1), **settings)
charger, wifi = rig.charger, rig.wifi
network.ap_hook = None  # the rig would keep all of it


class Since:
    """For how many ms something has been so."""

    ms = 0

    def step(self, so, ms):
        self.ms = self.ms + ms if so else 0


class Uplink:
    online_s = 0


charger.uplink = Uplink
changed = Since()  # no relevant setting did
wanted = Since()
unwanted = Since()
alone = Since()  # no phone, and the contactor open
guests = Since()
offline = Since()
good = Since()  # a network that can be joined is there
was_up = Since()
tried = Since()
lagging = Since()  # what it says behind what is
seen = network.tries
open_ms = 0  # of the mode "start", and of a button
counts = {}


def count(what):
    counts[what] = counts.get(what, 0) + 1


def event():
    """One thing that happens."""
    global open_ms
    kind = random.randrange(12)
    if kind == 0:
        world.set(wifi=not world.wifi)
    elif kind == 1:
        world.set(wifi_password=random.choice(("", "right678", "other678")))
    elif kind < 4:
        world.set(ap_clients=random.choice((0, 0, 0, 1, 4)))
    elif kind == 4:
        charger.access.online = not charger.access.online
    elif kind == 5:
        charger.closed = random.random() < 0.3
    elif kind == 6:
        wifi.left_ms = charger.settings.ap_minutes * 60000
        open_ms = wifi.left_ms
    else:
        new = {}
        if kind == 7:
            new["wifi_password"] = random.choice(("right678", "other678"))
        elif kind == 8:
            new["wifi_ssid"] = random.choice(("house", "house", ""))
        elif kind == 9:
            new["ap_password"] = random.choice((KEY, KEY, OTHER_KEY, ""))
        elif kind == 10:
            new["ap_mode"] = random.choice(("always", "offline", "offline", "start", "start"))
        else:
            new["ap_minutes"] = random.choice((5, 20))
        rig.set(**new)
        changed.ms = 0
        if charger.settings.ap_mode == "start" and rig.on():
            open_ms = charger.settings.ap_minutes * 60000
    count("event {}".format(kind))


def step():
    global seen, open_ms
    was = rig.on() is not None
    ms = rig.step(250)
    its = charger.settings
    shown = rig.on()
    changed.ms += ms
    open_ms = max(0, open_ms - ms)
    offline.step(not charger.access.online, ms)
    if charger.access.online:
        Uplink.online_s = charger.clock.uptime_s
    cloudless = offline.ms >= 120000
    mode = its.ap_mode
    wish = mode == "always" or open_ms > 0 or (mode == "offline" and cloudless)
    # A round's width on either side of a limit, nobody can tell.
    unclear = 0 < open_ms < 1000 or 119000 < offline.ms < 121000
    wanted.step(its.ap_password and wish and not unclear, ms)
    unwanted.step(not wish and not unclear, ms)
    alone.step(world.ap_clients == 0 and not charger.closed, ms)
    guests.step(was and world.ap_clients > 0, ms)

    if shown:
        assert shown["ssid"] == NAME and shown["security"] == 3
        if changed.ms > SETTLED_MS:
            assert shown["key"] == its.ap_password, "not the password of the settings"
    if min(wanted.ms, changed.ms) > SETTLED_MS and network.WLAN(0).active():
        assert shown, "it is off"
    if min(unwanted.ms, changed.ms, alone.ms) > SETTLED_MS:
        assert not shown, "it is on"
    if was and not shown and changed.ms > SETTLED_MS:
        assert world.ap_clients == 0 and not charger.closed, "somebody was thrown out"
        assert not wish or unclear
        count("off")
    if shown and not was:
        count("on")

    house = network.WLAN(0)
    joinable = world.wifi and world.wifi_password in ("", its.wifi_password)
    good.step(joinable and its.wifi_ssid, ms)
    lagging.step(changed.ms > SETTLED_MS and wifi.up != house.isconnected(), ms)
    if changed.ms > SETTLED_MS:
        assert lagging.ms <= 500 and (its.wifi_ssid or not wifi.up)
    tried.ms += ms
    if network.tries != seen:
        assert network.tries == seen + 1, "the port tries by itself"
        seen = network.tries
        if changed.ms > SETTLED_MS:
            assert its.wifi_ssid
            if was_up.ms > tried.ms:
                assert tried.ms >= 20000, "it tries again too soon"
                assert tried.ms >= 139000 or guests.ms < tried.ms, "it takes the radio too often"
            elif guests.ms > 125000:
                assert was_up.ms >= 119000
            count("try")
        tried.ms = 0
    was_up.ms = 0 if wifi.up else was_up.ms + ms
    if good.ms > 750000 and changed.ms > 750000 and house.active():
        assert wifi.up, "it does not come back"
        count("came back")
    return ms


for _ in range(20):
    step()
left_ms = HOURS * 3600000
while left_ms > 0:
    calm_ms = random.choice((1000, 5000, 60000, 300000, 600000, 900000))
    for _ in range(random.choice((1, 1, 2, 5))):
        event()
        for _ in range(random.choice((1, 1, 10, 100))):
            step()
    until_ms = left_ms - calm_ms
    while left_ms > until_ms:
        left_ms -= step()
assert rig.task.beats
rig.close()
print(sorted(counts.items()))
for what in ("on", "off", "try", "came back"):
    assert counts.get(what, 0) * 8 > HOURS or HOURS < 24, what
print("ok")
