"""The tie between the charger and the cloud: a task that talks to the worker's thread.

Promises: nothing here waits for the network; the charger is online only while the cloud itself
(not just the broker) has said something within 75 s; what a message asks for goes through the same
checks as on the page; a command is obeyed once, and answered once for each time that it comes.

The topics and payloads are in docs/mqtt.md.
"""

import asyncio
import json

from micropython import const

from firmware import clock, ticks
from firmware.access.decision import KNOWN_KEY
from firmware.briefly import briefly, its_end, turn
from firmware.permission import FINISHED, PLUGGED, stage_of
from firmware.uplink.backoff import NEEDS_CLOUD, STUCK

_ROUND_MS = const(50)
_HALF_MS = const(25)
_FRESH_MS = const(75000)  # two heartbeats of 30 s may be missed
_STATUS_APART_MS = const(3000)
_PENDING_MS = const(150)
_KEEP_EVERY_MS = const(3600000)


class Uplink:
    """Ties `charger` to `worker` (firmware/uplink/worker.py); `outbox` holds what is to go up.

    `offline_reason` is what the cloud said of a deliberate offline, `notice` a sentence about what
    is wrong between charger and cloud, or None.
    """

    def __init__(self, charger, worker, outbox):
        self.charger = charger
        self.worker = worker
        self.outbox = outbox
        self.notice = None
        self.offline_reason = ""
        self.until_s = 0  # end of a deliberate offline, seconds since 2000; 0: none
        self.recalled = False  # that was so at the start already
        self.to_keep = False  # something of this, or the window, is to be kept in NVS
        self.online_s = 0  # uptime at which it was last online
        self.forgot = -1  # what had been acked when the cloud lost its records
        self.unheard_ms = _FRESH_MS  # since the cloud itself said something
        self.replies = []  # (req, payload) of the last commands
        self.unlocking = None  # the req of a command that waits for the lock
        self.job = None  # steps of a command that takes long, a generator
        self.orders = None  # (req, content) of a command that came and is to be obeyed
        self.late = None  # an answer for which there was no memory
        self.reboots = False
        self.unlock_ms = 0
        self._pending_ms = 0
        self._keep_ms = 0
        self._connections = 0
        self._asked = 0
        self._shown = None  # what of the status was published
        self._status_ms = 0
        self._configured = -1
        self._clock_changes = -1
        self._ms = clock.now_ms()

    async def run(self, task):
        """The supervised task; the worker's thread goes on if it ends."""
        if not self.worker.running:
            briefly("firmware.uplink.setup").recall(self)
        while True:
            task.beat()
            if turn.locked():
                await its_end()
            self.look()
            # Each of the two may last as long as a tick: not one after the other.
            await asyncio.sleep_ms(_HALF_MS)
            if self.charger.access.online:
                if turn.locked():
                    await its_end()
                try:
                    self.outbox.step(_ROUND_MS)
                except MemoryError:
                    pass  # nothing was sent: again in the next round
            await asyncio.sleep_ms(_HALF_MS)

    def look(self):
        """One round: a message in, what has changed out, but for the records of the journal."""
        charger, worker, access = self.charger, self.worker, self.charger.access
        now = clock.now_ms()
        dt_ms = max(0, ticks.diff(now, self._ms))
        self._ms = now
        if self._configured != charger.settings.revision:
            self._configured = charger.settings.revision
            briefly("firmware.uplink.setup").configure(self)
        if self._clock_changes != charger.clock.changes:
            self._clock_changes = charger.clock.changes
            briefly("firmware.uplink.setup").follow_clock(self)
        if self.until_s and not access.offline_ms:
            briefly("firmware.uplink.setup").end_offline(self)
        # Without a clock the connection stays, for the heartbeat that tells whether it is over; but
        # who was offline before a restart does not come back early.
        known = self.recalled or charger.clock.quality != "unknown"
        worker.paused = self.until_s > 0 and known
        self._keep_ms -= dt_ms
        if self._keep_ms < 0:
            self._keep_ms = _KEEP_EVERY_MS
            self.to_keep = True
        if self.to_keep and not charger.contactor_closed():
            briefly("firmware.uplink.setup").keep(self)
        worker.wifi_up = charger.station is None or charger.station.up
        worker.backoff.urgency = self._urgency()
        self.unheard_ms = min(_FRESH_MS, self.unheard_ms + dt_ms)
        connected = worker.state == "connected"
        if connected and self._connections != worker.connections:
            self._connections = worker.connections
            self.unheard_ms = _FRESH_MS
            self._status_ms = 0
            self._shown = None
            self._asked = access.ask_number
            self.outbox.rewind()
        if self.orders:
            orders = self.orders
            self.orders = None
            try:
                briefly("firmware.uplink.commands").obey(self, orders[0], orders[1])
            except MemoryError:
                self.orders = orders  # not obeyed yet: again in the next round
        elif self.late:
            answer = self.late
            briefly("firmware.uplink.pending").reply(self, answer)
            self.late = None
        else:
            message = worker.down.take()
            if message:
                briefly("firmware.uplink.inbox").receive(self, message[0], message[1])
        access.online = connected and self.unheard_ms < _FRESH_MS and not self.until_s
        if access.online:
            self.online_s = charger.clock.uptime_s
        self._pending_ms += dt_ms
        if self._pending_ms >= _PENDING_MS:
            if self.job or self.unlocking is not None:
                briefly("firmware.uplink.pending").go_on(self, self._pending_ms)
            self._pending_ms = 0
        if not connected:
            return
        if access.asks and self._asked != access.ask_number:
            self._asked = access.ask_number
            uid = access.number(access.asks).hex().upper()
            self.publish("authorize", {"req": access.ask_number, "uid": uid}, 0)
        self._tell_status(dt_ms)
        if self.reboots and not len(worker.up):
            worker.stop()
            charger.reboot()

    def publish(self, suffix, content, qos=1):
        """Hand a message to the worker; False if its mailbox is full."""
        return self.worker.up.put((suffix, json.dumps(content).encode(), qos, False))

    def _urgency(self):
        access, controller = self.charger.access, self.charger.controller
        if controller is None or access.offline_who != KNOWN_KEY:
            return 0
        waits = stage_of(controller) in (PLUGGED, FINISHED) and not self.charger.permit.authorized
        return STUCK if waits else NEEDS_CLOUD

    def _tell_status(self, dt_ms):
        charger, controller = self.charger, self.charger.controller
        self._status_ms -= dt_ms
        shown = None
        if controller:
            shown = (
                controller.state,
                controller.reason,
                controller.session.id,
                controller.locked,
                charger.access.online,
                len(controller.faults.active_codes()),
            )
        settings = charger.settings
        interval_ms = settings.status_interval_s * 1000
        if self._status_ms > 0:
            soon = shown != self._shown and self._status_ms < interval_ms - _STATUS_APART_MS
            if not soon:
                return
        if len(self.worker.up):
            return
        self._status_ms = interval_ms
        self._shown = shown
        payload = b"".join(briefly("firmware.status").pieces(charger))
        self.worker.up.put(("status", payload, 0, True))
