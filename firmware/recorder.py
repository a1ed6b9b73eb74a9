"""What goes into the journal: the task that turns events of the other rooms into records.

Promises: the start and the end of a session are recorded within a tenth of a second and survive
every power cut from then on; in between its energy is recorded every `checkpoint_min` minutes.
Sectors of flash are erased only while the contactor is open, as long as the journal has any left. A
journal that cannot be written is reported and stops nothing.
"""

import asyncio
import gc

from micropython import const

from firmware.briefly import briefly
from firmware.charging.events import EventQueue

_ROUND_MS = const(50)
_SESSION_MASK = const(0xFFFF)
_RECORDS = "firmware.records"


class Recorder:
    """Writes into `journal` (see firmware/journal) what happens to `charger`.

    `notice` is a sentence about a journal that cannot be written, or None.
    """

    def __init__(self, charger, journal):
        self.journal = journal
        self.queue = EventQueue(32)
        self.notice = None
        self._charger = charger
        self.session = 0  # the number of the one that was last recorded as started
        self._duration_s = 0
        self._checkpoint_s = 0
        self._clock_changes = 0
        self._online = False
        self._dropped = 0
        self._event = None

    def append(self, kind, *values):
        """Record now; False, with a notice, if the journal cannot take it."""
        its = self._charger.clock
        quality = its.quality_number()
        last = False
        while True:
            try:
                self.journal.append(kind, values, its.uptime_s, its.utc_s() or 0, quality)
                return True
            except (OSError, ValueError, MemoryError) as e:
                if last or not isinstance(e, MemoryError):
                    self.notice = f"the journal could not record {kind}: {e}"
                    print("holdfast:", self.notice)
                    return False
            gc.collect()  # a page that is being answered may have let go of something
            last = True

    def close(self):
        """Before a restart: make durable what is held back."""
        if self._charger.controller:
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
        while True:
            # One for which there was no memory comes again.
            self._event = self._event or self.queue.pop()
            if not self._event:
                break
            briefly(_RECORDS).record(self, self._charger, *self._event)
            self._event = None
        if self.queue.dropped != self._dropped:
            self.append("events_lost", self.queue.dropped - self._dropped, "Other")
            self._dropped = self.queue.dropped
        session = charger.controller.session
        if session.id == self.session:
            self._duration_s = session.duration_s
            if session.active and session.duration_s >= self._checkpoint_s:
                self._checkpoint_s = session.duration_s + charger.settings.checkpoint_min * 60
                self.append("checkpoint", *self.meters(session.energy_wh))

        # In files every write erases a sector, which stops the whole chip: what can wait, waits.
        if self.journal.store.wears or not charger.contactor_closed():
            self._record_changes()

    def _record_changes(self):
        charger = self._charger
        clock_set = charger.clock.changes != self._clock_changes
        online = charger.access.online
        names = charger.settings.changed
        if clock_set or online != self._online or names:
            self._clock_changes = charger.clock.changes
            if online == self._online:
                online = None
            self._online = charger.access.online
            briefly(_RECORDS).changes(self, charger, clock_set, online, names)

    def begin(self, session):
        """The session with this number has started."""
        self.session = session
        self._checkpoint_s = self._charger.settings.checkpoint_min * 60

    def meters(self, energy_wh):
        """What a checkpoint and an end say of the session."""
        return (
            self.session & _SESSION_MASK,
            self._charger.readings.meter_wh,
            energy_wh,
            self._duration_s,
            self._charger.controller.session.estimated,
        )
