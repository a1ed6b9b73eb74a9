"""The WiFi task in virtual time: each of its promises once.

Arguments: a free UDP port; "count" to count allocations, on the board interpreter.
"""

import gc
import socket
import sys

import network
import world
from wifi_rig import ID, KEY, OTHER_KEY, Rig, nap

from firmware.web import radio

PORT = int(sys.argv[1])
counting = "count" in sys.argv
NAME = "Holdfast-" + ID


def test_names():
    for its, name in (
        ("garage-1", "Holdfast-garage-1"),
        ("holdfast-1", "Holdfast-1"),
        ("HOLDFAST-00ff12", "Holdfast-00ff12"),
        ("holdfast", "Holdfast-holdfast"),
        ("x" * 9 + "0123456789abcdefghijklm", "Holdfast-0123456789abcdefghijklm"),
    ):
        assert radio.network_name(its) == name, radio.network_name(its)
    for its, name in (
        ("garage-1", "garage-1"),
        ("a_b.c", "a-b-c"),
        ("-a.", "a"),
        ("._-", "holdfast"),
        ("x" * 32, "x" * 32),
    ):
        assert radio.host_name(its) == name, radio.host_name(its)


def test_on_the_air_with_its_own_settings_only():
    rig = Rig(ap_password=KEY)
    took_ms = rig.until(rig.on, 2, "the access point does not start")
    assert took_ms <= 1000, took_ms
    rig.run(10)
    assert rig.wifi.door and not rig.wifi.up and network.hostname() == ID
    for shown in rig.shown:
        assert shown["on"] and shown["ssid"] == NAME and shown["security"] == 3, shown
        assert shown["key"] == KEY and shown["max_clients"] == 4, shown
    assert rig.shown and network.tries == 0
    rig.close()


def test_port_that_takes_settings_only_while_on():
    rig = Rig(ap_password=KEY)
    network.takes_settings_while_off = False
    rig.run(2)
    assert rig.on()["key"] == KEY and rig.on()["security"] == 3
    rig.close()


def test_never_without_a_password():
    rig = Rig()
    rig.run(600)
    assert not rig.on() and not network.WLAN(0).active(), "the radio is on for nothing"
    rig.set(ap_password=KEY)
    took_ms = rig.until(rig.on, 5, "a password is set and the access point stays off")
    assert took_ms >= 2000, "no time for an answer"
    world.set(ap_clients=1)
    rig.set(ap_password=OTHER_KEY)
    rig.until(lambda: rig.on() and rig.on()["key"] == OTHER_KEY, 5, "the old password stays")
    rig.set(ap_password="")
    rig.until(lambda: not rig.on(), 5, "the access point stays on without a password")
    rig.run(600)
    assert not rig.on() and rig.wifi.door is None
    rig.close()


def tries_of(rig, s):
    """Times in ms between the station's tries within `s` seconds."""
    times = []
    seen = network.tries
    for _ in range(s * 1000):
        rig.step()
        if network.tries != seen:
            assert network.tries == seen + 1, "the port tries by itself"
            seen = network.tries
            times.append(world.ms)
        if times and world.ms - times[0] > s * 1000:
            break
    return [b - a for a, b in zip(times, times[1:])]


def test_wrong_password_leaves_the_access_point_alone():
    rig = Rig(lambda most_ms: most_ms, ap_password=KEY, wifi_ssid="house", wifi_password="wrong678")
    world.set(wifi_password="right678")
    apart = tries_of(rig, 4 * 3600)
    assert apart[:4] == sorted(apart[:4]) and 20000 <= apart[0] <= 25000, apart
    assert 600000 <= max(apart) <= 621000 and len(apart) > 25, apart
    assert network.WLAN(0).status() == network.STAT_WRONG_PASSWORD and not rig.wifi.up
    assert rig.on() and all(shown["on"] for shown in rig.shown), "it was off in between"
    # with a phone there: at most every two minutes, whatever is drawn
    rig.wifi.draw = lambda most_ms: 0
    world.set(ap_clients=1)
    apart = tries_of(rig, 600)
    assert min(apart) >= 140000 and max(apart) <= 141000, apart
    # and the right password at once, for the one who watches
    rig.set(wifi_password="right678")
    took_ms = rig.until(lambda: rig.wifi.up, 5, "it does not join with the right password")
    assert took_ms >= 2000
    assert all(shown["on"] for shown in rig.shown), "it was off in between"
    rig.close()


def test_lost_and_regained():
    rig = Rig(ap_password=KEY, wifi_ssid="house", wifi_password="right678")
    rig.until(lambda: rig.wifi.up, 3, "it does not join")
    rig.set(phases=1, ap_minutes=7)
    for _ in range(100):
        rig.step()
        assert rig.wifi.up and network.tries == 1, "it leaves for a setting of something else"
    for away_s in (1, 30, 3600, 30, 10000):
        world.set(wifi=False)
        rig.until(lambda: not rig.wifi.up, 1, "the loss goes unseen")
        rig.run(away_s)
        assert rig.on()
        world.set(wifi=True)
        took_ms = rig.until(lambda: rig.wifi.up, 621, "it does not come back")
        assert took_ms <= 25000 or away_s >= 3600, took_ms
        rig.run(100)
    assert all(shown["on"] for shown in rig.shown), "it was off in between"
    # every charger of a street sees the same loss: the first try is spread
    delays = set()
    for n in range(16):
        rig.wifi.draw = lambda most_ms: most_ms * n // 16
        rig.charger.settings.revision += 1
        world.set(wifi=False)
        rig.until(lambda: not rig.wifi.up, 3, "the loss goes unseen")
        world.set(wifi=True)
        rig.until(lambda: rig.wifi.up, 10, "it does not come back")
        rig.run(30)
        world.set(wifi=False)
        seen = network.tries
        delays.add(rig.until(lambda: network.tries > seen, 10, "no try"))
        world.set(wifi=True)
        rig.until(lambda: rig.wifi.up, 60, "it does not come back")
    assert len(delays) >= 8, delays
    rig.set(wifi_ssid="")
    rig.until(lambda: not rig.wifi.up, 5, "it stays in a network that it was taken out of")
    seen = network.tries
    rig.run(1000)
    assert network.tries == seen
    rig.close()


def test_only_while_offline():
    rig = Rig(ap_password=KEY, ap_mode="offline")
    rig.charger.access.online = True
    rig.run(600)
    assert not rig.on()

    class Uplink:
        online_s = 0

    rig.charger.uplink = Uplink
    Uplink.online_s = rig.charger.clock.uptime_s
    rig.charger.access.online = False
    rig.charger.closed = True  # a car charges: nobody may have to wait for its end
    took_ms = rig.until(rig.on, 125, "it stays off while the cloud is silent")
    rig.charger.closed = False
    assert took_ms >= 119000, took_ms
    world.set(ap_clients=1)
    rig.run(5)
    rig.charger.access.online = True
    rig.run(60)
    assert rig.on(), "the phone was thrown out"
    rig.charger.closed = True
    world.set(ap_clients=0)
    rig.run(600)
    assert rig.on(), "the chip was stalled while the contactor was closed"
    rig.charger.closed = False
    rig.until(lambda: not rig.on(), 1, "it stays on while the cloud answers")
    rig.wifi.left_ms = rig.charger.settings.ap_minutes * 60000  # a service key
    rig.until(rig.on, 1, "a service key does not open it")
    took_ms = rig.until(lambda: not rig.on(), 901, "it stays on after the service key")
    assert took_ms >= 899000
    rig.close()


def test_only_for_a_time_after_the_start():
    rig = Rig(ap_password=KEY, ap_mode="start", ap_minutes=5)
    rig.until(rig.on, 1, "it is not on at the start")
    took_ms = rig.until(lambda: not rig.on(), 301, "it stays on")
    assert took_ms >= 298000, took_ms
    rig.set(phases=1)
    rig.run(100)
    assert not rig.on(), "a change of other settings opens it"
    rig.wifi.left_ms = 5 * 60000
    rig.until(rig.on, 1, "a button does not open it")
    rig.run(290)
    rig.set(ap_minutes=10)
    rig.run(590)
    assert rig.on(), "it closes on somebody who works on the charger"
    world.set(ap_clients=1)
    rig.run(60)
    assert rig.on(), "the phone was thrown out"
    world.set(ap_clients=0)
    rig.until(lambda: not rig.on(), 1, "it stays on")
    rig.charger.closed = True
    rig.wifi.left_ms = 60000
    rig.until(rig.on, 1, "it does not open while a car charges")
    rig.charger.closed = False
    rig.set(ap_mode="always")
    rig.run(1000)
    assert rig.on()
    rig.close()


def test_radio_waits_for_an_open_contactor():
    rig = Rig(ap_password=KEY, wifi_ssid="house")
    rig.charger.closed = True
    rig.run(100)
    assert not rig.on() and not network.WLAN(0).active()
    rig.charger.closed = False
    rig.until(lambda: rig.on() and rig.wifi.up, 3, "the radio does not start")
    rig.close()


def test_radio_that_refuses():
    rig = Rig(ap_password=KEY)
    refused = []
    refuses = ()
    real = network.WLAN.active

    def active(self, on=None):
        if on and self._if in refuses:
            refused.append(world.ms)
            raise OSError("Wifi Out of Memory")
        return real(self, on)

    network.WLAN.active = active
    for interface in (0, 1):
        refuses = (interface,)
        refused.clear()
        rig.run(100)
        assert not rig.on() and rig.wifi.door is None
        assert 3 <= len(refused) <= 4, refused
        assert rig.task.beats
    refuses = ()
    rig.until(rig.on, 31, "it does not try again")
    network.WLAN.active = real
    rig.close()


def test_settings_that_the_radio_refuses():
    """Half a start leaves nothing on the air."""
    rig = Rig(ap_password=KEY)
    real = network.WLAN.config

    def config(self, **settings):
        raise OSError("Wifi Invalid Argument")

    network.WLAN.config = config
    rig.run(35)
    assert not rig.on() and rig.wifi.door is None
    network.WLAN.config = real
    rig.until(rig.on, 31, "it does not try again")
    assert rig.on()["key"] == KEY
    rig.close()


def test_no_dns_port():
    """Somebody has it: the access point goes on the air all the same."""
    rig = Rig(ap_password=KEY)
    socket.ports[53] = PORT
    taken = listen()
    rig.run(3)
    taken.close()
    assert rig.on() and rig.wifi.door == [], rig.wifi.door
    rig.set(ap_password="")
    rig.until(lambda: not rig.on(), 5, "it cannot be switched off")
    rig.set(ap_password=KEY)
    rig.until(lambda: rig.wifi.door, 5, "the port is free and not used")
    try:
        listen()
    except OSError:
        pass
    else:
        raise AssertionError("it does not listen")
    rig.set(ap_password="")
    rig.until(lambda: not rig.on(), 5, "it cannot be switched off")
    listen().close()
    del socket.ports[53]
    rig.close()


def listen():
    """A socket at the name server's place."""
    its = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    its.bind(socket.getaddrinfo("0.0.0.0", 53)[0][-1])
    return its


def test_restarted_task():
    """As the supervisor does after an exception: the network stays usable."""
    rig = Rig(ap_password=KEY, wifi_ssid="house")
    rig.until(lambda: rig.on() and rig.wifi.up, 5, "it does not start")
    rig.rounds.close()
    rig.rounds = rig.wifi.run(rig.task)
    rig.until(lambda: rig.on() and rig.wifi.up and rig.wifi.door, 5, "it does not start again")
    rig.run(100)
    assert rig.on()["key"] == KEY
    rig.close()


def test_rounds_at_rest_allocate_nothing():
    for up in (False, True):
        rig = Rig(ap_password=KEY, wifi_ssid="house" if up else "")
        rig.run(60)
        assert rig.wifi.up == up
        taken = 0
        gc.collect()
        gc.disable()
        for _ in range(1000):
            before = gc.mem_alloc()
            rig.rounds.send(None)
            taken += gc.mem_alloc() - before
            world.advance_by(250)
        gc.enable()
        assert taken == 0 or not counting, taken
        rig.close()


def test_pace():
    """Slow while nobody is there, quick while somebody is."""
    rig = Rig(ap_password=KEY)
    rig.run(5)
    assert nap.ms == 250
    world.set(ap_clients=1)
    rig.run(1)
    assert nap.ms == 20
    rig.close()


for name in sorted(globals()):
    if name.startswith("test_"):
        globals()[name]()
        print(name)
print("ok")
