"""The charger's WiFi task in virtual time, without a charger: round by round, as fast as it goes.

The radio is the virtual board's, the name server's socket a real one on the loopback address.
"""

import network
import world

import firmware.web.wifi as wifi
from firmware import clock
from firmware.settings import Settings

KEY = "abcdefgh2345"
OTHER_KEY = "other; key: 678"
ID = "garage-1"


class Nap:
    """`asyncio` as the task knows it: a sleep hands its length to whoever drives the task."""

    def __init__(self):
        self.end = StopIteration()

    def sleep_ms(self, ms):
        self.ms = ms
        self.asleep = False
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self.asleep:
            self.end.__traceback__ = None  # it would grow with each time
            raise self.end
        self.asleep = True
        return self.ms


wifi.asyncio = nap = Nap()


class Task:
    """What the supervisor gives; and what the rig reads of other rooms."""

    online = False
    beats = 0

    def beat(self):
        self.beats += 1


class Rooms:
    """A charger as far as the WiFi task sees it."""

    def __init__(self, **changes):
        self.settings = Settings("/nowhere")
        self.settings.set_many(changes)
        self.clock = clock.Clock(1, clock.now_ms())
        self.id = ID
        self.access = Task()
        self.board = None
        self.uplink = None
        self.closed = False

    def contactor_closed(self):
        return self.closed


class Rig:
    """The task on a radio that was just powered; `draw` as the task wants it."""

    def __init__(self, draw=lambda most_ms: most_ms // 2, **changes):
        network._active[:] = [False, False]
        network._settings[0].update({"ssid": "", "key": "", "reconnects": -1})
        network._settings[1].update({"ssid": "ESP_000001", "key": "", "security": 0})
        network._wanted = network._trying = network._connected = False
        network._left = network._reason = network.tries = 0
        network.takes_settings_while_off = True
        network.ap_hook = self.on_air
        world.set(wifi=True, wifi_password="", ap_clients=0)
        self.shown = []  # what was on the air, at each change
        self.charger = Rooms(**changes)
        self.task = Task()
        self.wifi = wifi.Wifi(self.charger, draw)
        self.rounds = self.wifi.run(self.task)

    def on_air(self, shown):
        self.shown.append(shown)

    def step(self, least_ms=0):
        """One round, and the time until the next, or `least_ms`; returns that, in ms."""
        ms = max(least_ms, self.rounds.send(None))
        world.advance_by(ms)
        self.charger.clock.advance(clock.now_ms())
        return ms

    def run(self, s):
        """Rounds for `s` seconds."""
        left_ms = s * 1000
        while left_ms > 0:
            left_ms -= self.step()

    def until(self, condition, most_s, what):
        """Rounds until `condition()`; how many ms that took. AssertionError after `most_s`."""
        ms = 0
        while not condition():
            assert ms <= most_s * 1000, what
            ms += self.step()
        return ms

    def set(self, **changes):
        self.charger.settings.set_many(changes)

    def on(self):
        """What is on the air, or None."""
        shown = network.access_point()
        return shown if shown["on"] else None

    def close(self):
        self.rounds.close()
        for its in (self.wifi.door or ())[1:]:
            its.close()
