"""The tie between the charger and the cloud: a task that talks to the worker's thread.

Promises: nothing here waits for the network; the charger is online only while the cloud itself
(not just the broker) has said something within 75 to 85 s; a cloud that comes back finds the fleet
spread, whether it lost the connections or kept them; what a message asks for goes through the same
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
FRESH_MS = const(75000)  # two heartbeats of 30 s may be missed
_TRIES = const(40)  # rounds in a row that may find no memory: 2 s
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
        self.to_keep = False  # something of this, or the window, is to be kept on flash
        self.online_s = 0  # uptime at which it was last online
        self.forgot = -1  # what had been acked when the cloud lost its records
        self.unheard_ms = FRESH_MS  # since the cloud itself said something
        self.replies = []  # (req, payload) of the last commands
        self.unlocking = None  # the req of a command that waits for the lock
        self.job = None  # steps of a command that takes long, a generator
        self.todo = None  # what has come: ("inbox", topic, payload) or ("commands", req, content)
        self.late = None  # an answer that is not in the mailbox yet
        self.reboots = False
        self.unlock_ms = 0
        self.connections = 0  # as of the last look
        self.shy_ms = 0  # the cloud may be back: so long before that is believed
        self.asked = 0
        self.shown = None  # what of the status was published
        self.status_ms = 0
        self._pending_ms = 0
        self._keep_ms = 0
        self._configured = -1
        self._clock_changes = -1
        self._ms = clock.now_ms()

    async def run(self, task):
        """The supervised task; the worker's thread goes on if it ends."""
        if not self.worker.running:
            briefly("firmware.uplink.setup").recall(self)
        self.todo = None  # it may be what ended the task before
        tries = 0
        while True:
            task.beat()
            if turn.locked():
                await its_end()
            try:
                self.look()
                # None of the three parts lasts as long as a tick: so there are ticks in between.
                await asyncio.sleep_ms(_HALF_MS)
                due = self.outbox.step(_ROUND_MS) if self.charger.access.online else None
                if due:
                    async with turn:
                        batch = briefly("firmware.uplink.batch")
                        await asyncio.sleep_ms(0)
                        batch.send(self.outbox, due[0], due[1])
                tries = 0
            except MemoryError:
                # Somebody else has it just now, and what failed is still to be done. But what has
                # come must not hold up what comes behind it.
                tries += 1
                if tries > _TRIES:
                    if not self.todo:
                        raise
                    self.late = self.todo
                    self.todo = None
                    tries = 0
            batch = None
            await asyncio.sleep_ms(_HALF_MS)

    def look(self):
        """One round: a message in, what has changed out, but for the records of the journal."""
        charger, worker, access = self.charger, self.worker, self.charger.access
        now = clock.now_ms()
        dt_ms = max(0, ticks.diff(now, self._ms))
        self._ms = now
        if self._configured != charger.settings.revision:
            briefly("firmware.uplink.setup").configure(self)
            self._configured = charger.settings.revision
        if self._clock_changes != charger.clock.changes:
            briefly("firmware.uplink.setup").follow_clock(self)
            self._clock_changes = charger.clock.changes
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
        self.unheard_ms = min(FRESH_MS, self.unheard_ms + dt_ms)
        connected = worker.state == "connected"
        if connected and self.connections != worker.connections:
            briefly("firmware.uplink.presence").connected(self)
        if self.late:
            briefly("firmware.uplink.pending").reply(self, self.late)
        else:
            todo = self.todo
            if not todo:
                message = worker.down.take()
                todo = self.todo = message and ("inbox", message[0], message[1])
            if todo:
                briefly("firmware.uplink." + todo[0]).receive(self, todo[1], todo[2])
                if self.todo is todo:
                    self.todo = None
        if not connected or self.unheard_ms >= FRESH_MS or self.until_s:
            if access.online:
                briefly("firmware.uplink.presence").gone(self)
        elif access.online:
            self.online_s = charger.clock.uptime_s
        else:
            self.shy_ms -= dt_ms
            if self.shy_ms <= 0:
                briefly("firmware.uplink.presence").there(self)
        self._pending_ms += dt_ms
        if self._pending_ms >= _PENDING_MS:
            if (self.job or self.unlocking is not None) and not self.late:
                briefly("firmware.uplink.pending").go_on(self, self._pending_ms)
            self._pending_ms = 0
        if self.reboots and not self.late and not (connected and len(worker.up)):
            worker.stop()
            charger.reboot()
        if not connected:
            return
        if access.asks and self.asked != access.ask_number:
            uid = access.number(access.asks).hex().upper()
            self.publish("authorize", {"req": access.ask_number, "uid": uid}, 0)
            self.asked = access.ask_number
        self._tell_status(dt_ms)

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
        self.status_ms -= dt_ms
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
        if self.status_ms > 0:
            soon = shown != self.shown and self.status_ms < interval_ms - _STATUS_APART_MS
            if not soon:
                return
        if len(self.worker.up):
            return
        payload = b"".join(briefly("firmware.status").pieces(charger))
        self.worker.up.put(("status", payload, 0, True))
        self.status_ms = interval_ms
        self.shown = shown
