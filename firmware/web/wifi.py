"""The radio: the charger's own WiFi, and its place in the house's.

Promises: neither waits for the other, and nothing here waits for either. A wrong password or a lost
network leads to tries at random times, from seconds to ten minutes apart, and leaves the access
point alone; while a phone is in that, a try takes the radio from it every two minutes at most.
What stalls the chip and can wait does so for an open contactor: the radio's start, and the access
point's end, which waits for the last phone as well. Changed settings take effect after two seconds:
whoever changed them through this very radio has the answer by then.
"""

import asyncio

import network
from micropython import const

from firmware import clock, ticks
from firmware.briefly import briefly

_ROUND_MS = const(250)
_BUSY_MS = const(20)  # while a phone is there: names are answered at once
_SETTLE_MS = const(2000)
_AGAIN_MS = const(30000)  # when the radio refuses
_JOIN_MS = const(20000)  # a try that did not succeed within it has failed
_FIRST_MS = const(4000)
_LONGEST_MS = const(600000)
_GUEST_MS = const(120000)
_OFFLINE_S = const(120)
_RADIO = "firmware.web.radio"


class Wifi:
    """Both networks of `charger`; `draw` takes a most in ms and returns a random number up to it.

    `up`: it has an address in the house's network. `door` is None while the charger's own is not
    on the air. `left_ms`: for how long that is to be there whatever `ap_mode` says; the board's
    button sets it, and a service key (firmware/look_up.py).
    """

    def __init__(self, charger, draw):
        self.charger = charger
        self.draw = draw
        self.up = False
        self.door = None
        self.left_ms = 0

    async def run(self, task):
        """The supervised task."""
        charger = self.charger
        settings, uptime = charger.settings, charger.clock
        house = network.WLAN(network.STA_IF)
        ap = network.WLAN(network.AP_IF)
        serve = key = wanted = None  # name server while there are guests; settings in force
        revision = -1
        hold_ms = idle_ms = pause_ms = retry_ms = 0
        now = clock.now_ms()
        while True:
            task.beat()
            then = now
            now = clock.now_ms()
            dt_ms = ticks.diff(now, then)
            self.left_ms = max(0, self.left_ms - dt_ms)
            board = charger.board
            if board and board.button and board.button():
                self.left_ms = settings.ap_minutes * 60000
            # Since the last try to join, or since it was last in the network.
            idle_ms = 0 if self.up else min(idle_ms + dt_ms, 2 * _LONGEST_MS)
            door = self.door
            guests = door is not None and ap.isconnected()
            if revision != settings.revision:
                if settings.ap_mode == "start" and (revision < 0 or door is not None):
                    self.left_ms = settings.ap_minutes * 60000
                hold_ms = 0 if revision < 0 else _SETTLE_MS
                revision = settings.revision
            if hold_ms >= 0:
                hold_ms -= dt_ms + 1
                if hold_ms < 0:
                    new = (settings.wifi_ssid, settings.wifi_password)
                    if new != wanted:
                        wanted = new
                        retry_ms = _FIRST_MS
                        pause_ms = -_GUEST_MS  # at once, guests or not
                        if house.active():
                            briefly(_RADIO).join(house, "", "")
                    if door is not None and key != settings.ap_password:
                        briefly(_RADIO).close_door(ap, door)
                        self.door = None
            else:
                mode = settings.ap_mode
                uplink = charger.uplink
                wish = settings.ap_password and (
                    mode == "always"
                    or self.left_ms
                    or mode == "offline"
                    and not charger.access.online
                    and uptime.uptime_s - (uplink.online_s if uplink else 0) >= _OFFLINE_S
                )
                try:
                    if not house.active():
                        # Even if it is needed later only: a car may be charging then.
                        if (wanted[0] or settings.ap_password) and not charger.contactor_closed():
                            briefly(_RADIO).begin(house, charger.id)
                    elif door is None:
                        if wish:
                            key = settings.ap_password
                            self.door = briefly(_RADIO).open_door(ap, charger.id, key)
                    elif not (wish or guests or charger.contactor_closed()):
                        briefly(_RADIO).close_door(ap, door)
                        self.door = None
                except OSError as e:
                    print("holdfast: the WiFi refuses:", e)
                    hold_ms = _AGAIN_MS
                up = house.isconnected()
                if up:
                    if not self.up:
                        retry_ms = _FIRST_MS
                        pause_ms = self.draw(_FIRST_MS)
                elif (
                    wanted[0]
                    and idle_ms >= pause_ms + (_GUEST_MS if guests else 0)
                    and house.active()
                ):
                    briefly(_RADIO).join(house, wanted[0], wanted[1])
                    idle_ms = 0
                    pause_ms = _JOIN_MS + self.draw(retry_ms)
                    retry_ms = min(retry_ms * 2, _LONGEST_MS)
                self.up = up
            door = self.door
            if door:
                for _ in door[0].ipoll(0):
                    if serve is None:
                        serve = briefly("firmware.web.dns").serve
                    serve(door[1])
            if not guests:
                serve = None
            await asyncio.sleep_ms(_BUSY_MS if guests else _ROUND_MS)
