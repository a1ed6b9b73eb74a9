"""The charger that runs: what one tick does, and the tasks of the charger itself.

Who is built from what stands in firmware/build.py. Nothing else in the firmware knows all rooms.
"""

import asyncio
import random

from micropython import const

from firmware import clock, console, ntp, ticks
from firmware.briefly import briefly
from firmware.charging.signals import DRIVE_OFF, PILOT_STEADY
from firmware.permission import ask, settle
from firmware.settings import Settings

_TICK_MS = const(16)  # the design asks for 20 ms or less; the rest is for what other tasks take
# No tick for so long, and the board's own timer makes the outputs safe. Longer than any stall that
# ends by itself (an erase of flash takes up to 400 ms): opening under load wears the contactor.
_DEAD_MAN_MS = const(500)
_MOST_DT_MS = const(60000)
_HOUSEKEEPING_MS = const(50)  # a driver waits for the key to be looked up
_SAVE_ROUNDS = const(10)

charger = None  # the one that runs, for the console and for tests


def run():
    """Build the charger and run it for ever; whatever ends that leaves the outputs safe."""
    global charger
    settings = Settings()
    settings.load()  # while nothing else is in memory yet: reading them takes 10 KB for a moment
    charger = briefly("firmware.build").build(settings)
    try:
        asyncio.run(charger.supervisor.run())
    finally:
        charger.make_safe()
        print("holdfast: stopped; outputs safe")


class Charger:
    """The rooms of one charger, and the tick that joins them.

    firmware/build.py puts the rooms in. `board` and `controller` are None while the board is
    refused; `refusal` is the sentence why.
    """

    def __init__(self):
        self.settings = self.clock = self.id = None
        self.permit = self.access = self.keys = None
        self.readings = self.outputs = None
        self.recorder = None
        self.station = self.uplink = None
        self.unlock_by = ""  # who asked for the release that is under way
        self.notes = []  # (code, by, count) of security: the web room's, to be recorded
        self.board = self.controller = self.refusal = None
        self.supervisor = None
        self.held = ""  # a code: nothing is permitted until `release`
        self.configured = -1  # revision of the settings that is in force in the rooms
        self.dead_man_count = 0  # how often the board opened by itself for want of a tick
        self._tick_ms = -1
        self._longest_gap_ms = 0

    def tick(self, now):
        """Readings in, one decision, outputs out. Allocates nothing in steady state."""
        gap_ms = 0
        if self._tick_ms >= 0:
            gap_ms = max(0, min(ticks.diff(now, self._tick_ms), _MOST_DT_MS))
            self._longest_gap_ms = max(self._longest_gap_ms, gap_ms)
        self._tick_ms = now
        access, permit, outputs = self.access, self.permit, self.outputs
        uptime_s = self.clock.uptime_s
        self.clock.advance(now)
        if self.clock.uptime_s != uptime_s:
            access.tell_time(self.clock.utc_s())
        self.board.read(self.readings)
        reader = self.board.reader
        if reader is not None and reader.step(now):
            access.tap(reader.uid, reader.length)
        if self.board.dead_man_bit:
            # The board opened by itself, perhaps within this very reading: what the controller
            # takes for driven is not.
            self.board.dead_man_bit = False
            self.dead_man_count += 1
            outputs.contactor = False
            outputs.pilot = PILOT_STEADY
            outputs.lock_drive = DRIVE_OFF
        ask(access, self.controller, gap_ms, permit)
        if self.held:
            permit.authorized = permit.allowed = False
            permit.reason = self.held
        self.controller.step(self.readings, permit, now, outputs)
        settle(access, self.controller)
        self.board.apply(outputs)

    async def charge(self, task):
        """The vital task: a tick every 16 ms, and the outputs safe when it ends in any way."""
        self.board.arm_dead_man(_DEAD_MAN_MS)
        due = clock.now_ms()
        try:
            while True:
                now = clock.now_ms()
                self.tick(now)
                task.beat()
                due = ticks.add(due, _TICK_MS)
                left_ms = ticks.diff(due, clock.now_ms())
                if left_ms < 0:
                    if left_ms < -_TICK_MS:  # held up: go on from here, not in a burst
                        due = now
                    left_ms = 0
                await asyncio.sleep_ms(left_ms)
        finally:
            self.make_safe()

    def make_safe(self):
        """Contactor open, pilot steady, lock motor off, at once. Never raises."""
        self.outputs.contactor = False
        if self.board:
            self.board.make_safe()

    async def keep_house(self, task):
        """What can wait: keys looked up, changed settings into force, and onto flash.

        The last once the contactor is open.
        """
        rounds = 0
        while True:
            task.beat()
            if self.access.looks_up:
                briefly("firmware.look_up").answer(self)
            # In files every record erases: no guess at the PIN may delay a car that stops.
            if self.notes and (self.recorder.journal.store.wears or not self.contactor_closed()):
                self.recorder.append("security", *self.notes.pop(0))
            rounds += 1
            if rounds == _SAVE_ROUNDS:
                rounds = 0
                now = clock.now_ms()
                if not self.board:
                    self.clock.advance(now)
                elif self.supervisor.doomed:
                    self.board.read(self.readings)  # so that page and console show what is true
                elif self.configured != self.settings.revision:
                    briefly("firmware.configure").configure(self)
                if self.settings.unsaved:
                    self.save()
            await asyncio.sleep_ms(_HOUSEKEEPING_MS)

    def save(self):
        """Write changed settings; False, and it is done later, while the contactor is closed.

        An erase of flash stops the whole chip for up to 400 ms: a car that stops must not wait.
        """
        if self.contactor_closed():
            return False
        try:
            self.settings.save()
        except OSError as e:
            self.settings.unsaved = False  # try again at the next change, not for ever
            self.settings.notice = f"the settings could not be saved: {e}"
            print("holdfast:", self.settings.notice)
        return True

    def contactor_closed(self):
        """True if it is closed or commanded to close."""
        return self.outputs.contactor or self.readings.contactor_closed

    def hold(self, code):
        """Permit nothing, with the code why, until `release`."""
        self.held = code

    def release(self):
        """Let the access room decide again."""
        self.held = ""

    def take_longest_gap_ms(self):
        """Longest time between two ticks since the last call."""
        gap_ms = self._longest_gap_ms
        self._longest_gap_ms = 0
        return gap_ms

    def unlock(self, by):
        """End the session if there is one and release the cable; `by` is for the journal."""
        if not self.controller.unlocked():  # no release to record, and the next one is another's
            self.unlock_by = by
        self.controller.request_unlock()

    def reboot(self):
        """Outputs safe, then a restart of the chip."""
        self.make_safe()
        self.recorder.close()
        briefly("firmware.board.chip").reset()

    def announce(self):
        """Say on the serial console that every task runs; the flash tool waits for this line."""
        briefly("firmware.build").announce(self)

    def ask_time(self, task):
        """The task that asks a time server."""
        return ntp.run(task, self.settings, self.clock)

    def attend_console(self, task):
        """The task of the serial port."""
        return console.run(task, self)


def draw(most_ms):
    """A random time up to `most_ms`."""
    return random.randrange(most_ms + 1)
