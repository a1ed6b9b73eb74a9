"""What goes into the journal: the task that turns events of the other rooms into records.

Promises: the start and the end of a session are recorded within a tenth of a second and survive
every power cut from then on; in between its energy is recorded every `checkpoint_min` minutes.
Sectors of flash are erased only while the contactor is open, as long as the journal has any left. A
journal that cannot be written is reported and stops nothing.
"""

import asyncio

from micropython import const

from firmware.charging import events

_ROUND_MS = const(50)
_SESSION_MASK = const(0xFFFF)


class Recorder:
    """Writes into `journal` (see firmware/journal) what happens to `charger`.

    `notice` is a sentence about a journal that cannot be written, or None.
    """

    def __init__(self, charger, journal):
        self.journal = journal
        self.queue = events.EventQueue(32)
        self.notice = None
        self._charger = charger
        self._session = 0  # the number of the one that was last recorded as started
        self._duration_s = 0
        self._checkpoint_s = 0
        self._clock_changes = 0
        self._online = False
        self._dropped = 0

    def append(self, kind, *values):
        """Record now; False, with a notice, if the journal cannot take it."""
        its = self._charger.clock
        quality = its.quality_number()
        try:
            self.journal.append(kind, values, its.uptime_s, its.utc_s() or 0, quality)
        except (OSError, ValueError) as e:
            self.notice = f"the journal could not record {kind}: {e}"
            print("holdfast:", self.notice)
            return False
        return True

    def close(self):
        """Before a restart: make durable what is held back."""
        self.look()
        try:
            self.journal.flush()
        except OSError as e:
            print("holdfast: the journal could not be closed:", e)

    async def run(self, task):
        """The supervised task."""
        charger = self._charger
        while True:
            task.beat()
            self.look()
            await asyncio.sleep_ms(_ROUND_MS)
            if not charger.contactor_closed():
                for _ in self.journal.make_room():
                    task.beat()
                    await asyncio.sleep_ms(_ROUND_MS)
                    self.look()
                    if charger.contactor_closed():
                        break

    def look(self):
        """Record what has happened since the last look."""
        charger = self._charger
        while event := self.queue.pop():
            self._record(*event)
        if self.queue.dropped != self._dropped:
            self.append("events_lost", self.queue.dropped - self._dropped, "Other")
            self._dropped = self.queue.dropped
        session = charger.controller.session
        if session.id == self._session:
            self._duration_s = session.duration_s
            if session.active and session.duration_s >= self._checkpoint_s:
                self._checkpoint_s = session.duration_s + charger.settings.checkpoint_min * 60
                self.append("checkpoint", *self._meters(session.energy_wh))

        # In files every write erases a sector, which stops the whole chip: what can wait, waits.
        if self.journal.store.wears or not charger.contactor_closed():
            self._record_changes()

    def _record_changes(self):
        charger = self._charger
        if charger.clock.changes != self._clock_changes:
            self._clock_changes = charger.clock.changes
            self.append("clock")
        if charger.access.online != self._online:
            self._online = charger.access.online
            if self._online:
                self.append("online")
            else:
                self.append("offline", "Other")
        changed = charger.settings.changed
        while changed:
            self.append("settings", changed.pop(0), "Other")

    def _meters(self, energy_wh):
        return (
            self._session & _SESSION_MASK,
            self._charger.readings.meter_wh,
            energy_wh,
            self._duration_s,
            self._charger.controller.session.estimated,
        )

    def _record(self, kind, code, value, _now_ms):
        charger = self._charger
        session = charger.controller.session
        if kind == events.SESSION_STARTED:
            access = charger.access
            self._session = session.id
            self._checkpoint_s = charger.settings.checkpoint_min * 60
            self.append(
                "session_start",
                self._session & _SESSION_MASK,
                charger.readings.meter_wh,
                charger.permit.by[6:],  # Open, Key, AnyKey, Cloud, Owner
                bytes(access.owner_uid[: access.owner_length]),
            )
        elif kind == events.SESSION_ENDED:
            self.append("session_end", *self._meters(value), code)
        elif kind == events.FAULT:
            self.append("fault", code, value)
        elif kind == events.FAULT_CLEARED:
            self.append("fault_cleared", code, value)
        elif kind == events.UNLOCKED and charger.unlock_by:
            self.append("unlock", charger.unlock_by)
            charger.unlock_by = ""
