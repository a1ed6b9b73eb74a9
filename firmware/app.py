"""The composition root: who is built from what, and which tasks run, stands in `build`.

What one tick does stands in `Charger.tick`. Nothing else in the firmware knows all the rooms.
"""

import asyncio
import gc

from micropython import const

from firmware import clock, console, ticks
from firmware.board import chip, nvs
from firmware.board.board import BoardError, load_board
from firmware.charging.controller import ChargingConfig, Controller
from firmware.charging.limits import Derating, Limits
from firmware.charging.signals import DRIVE_OFF, PILOT_STEADY, Outputs, Permit, Readings
from firmware.settings import Settings
from firmware.supervisor import Supervisor
from firmware.version import VERSION
from firmware.web.routes import application
from firmware.web.server import Server

_TICK_MS = const(16)  # the design asks for 20 ms or less; the rest is for what other tasks take
# No tick for so long, and the board's own timer makes the outputs safe. Longer than any stall that
# ends by itself (an erase of flash takes up to 400 ms): opening under load wears the contactor.
_DEAD_MAN_MS = const(500)
_CHARGING_SILENCE_MS = const(4000)
_HOUSEKEEPING_MS = const(500)
_COLLECT_EVERY_BYTES = const(8192)  # about a web request; waiting longer would scatter what stays

charger = None  # the one that runs, for the console and for tests


def run():
    """Build the charger and run it for ever; whatever ends that leaves the outputs safe."""
    global charger
    charger = build()
    try:
        asyncio.run(charger.supervisor.run())
    finally:
        charger.make_safe()
        print("holdfast: stopped; outputs safe")


def build():
    """Every room of this charger, wired, with its tasks registered but not started."""
    settings = Settings()
    settings.load()
    this = Charger(settings, clock.Clock(chip.count_boot(), clock.now_ms()))
    watchdog = None
    try:
        this.fit(load_board(settings.board, settings))
    except BoardError as e:
        # No task drives a pin, so there is nothing to watch over; page and console say why.
        this.refusal = str(e)
    else:
        nvs.set_safe_pins(this.board.safe_pins)
        watchdog = chip.start_watchdog(settings.watchdog_s * 1000)

    this.supervisor = Supervisor(watchdog, this.announce)
    if this.board:
        this.supervisor.add("charging", this.charge, _CHARGING_SILENCE_MS, vital=True)
    this.supervisor.add("housekeeping", this.keep_house)
    this.supervisor.add("web", Server(application(this), settings.http_port).run)
    this.supervisor.add("console", lambda task: console.run(task, this))
    gc.collect()
    gc.threshold(_COLLECT_EVERY_BYTES)
    return this


class Charger:
    """The rooms of one charger, and the tick that joins them.

    `board` and `controller` are None while the board is refused; `refusal` is the sentence why.
    """

    def __init__(self, settings, its_clock):
        self.settings = settings
        self.clock = its_clock
        self.id = settings.charger_id or "holdfast-" + chip.identity()[-6:]
        self.permit = Permit(True, "")  # the policy "open", until the access room comes
        self.board = None
        self.controller = None
        self.refusal = None
        self.supervisor = None
        self.readings = Readings()
        self.outputs = Outputs()
        self._configured = -1  # revision of the settings that the controller has
        self._tick_ms = -1
        self._longest_gap_ms = 0
        self.dead_man_count = 0  # how often the board opened by itself for want of a tick

    def fit(self, board):
        """Build the charging room for `board`."""
        settings = self.settings
        config = ChargingConfig()
        config.tethered = settings.tethered
        config.rcd_test = settings.rcd_test
        cable_ma = settings.tethered_cable_a * 1000 if settings.tethered else 0
        limits = Limits(settings.installation_limit_a * 1000, _derating(settings), cable_ma)
        self.controller = Controller(board.capabilities, config, limits)
        self.board = board
        self._configure()

    def _configure(self):
        settings, controller = self.settings, self.controller
        if self._configured == settings.revision:
            return
        controller.config.ventilation = settings.ventilation
        controller.config.wake_mode = settings.wake_mode
        controller.config.wake_after_s = settings.wake_after_s
        controller.config.wake_s = settings.wake_s
        controller.limits.installation_ma = settings.installation_limit_a * 1000
        if self._configured >= 0:
            controller.limits.derating = _derating(settings)
        self._configured = settings.revision

    def tick(self, now):
        """Readings in, one decision, outputs out. Allocates nothing in steady state."""
        if self._tick_ms >= 0:
            gap_ms = ticks.diff(now, self._tick_ms)
            self._longest_gap_ms = max(self._longest_gap_ms, gap_ms)
        self._tick_ms = now
        self.clock.advance(now)
        outputs = self.outputs
        self.board.read(self.readings)
        if self.board.dead_man_bit:
            # The board opened by itself, perhaps within this very reading: what the controller
            # takes for driven is not.
            self.board.dead_man_bit = False
            self.dead_man_count += 1
            outputs.contactor = False
            outputs.pilot = PILOT_STEADY
            outputs.lock_drive = DRIVE_OFF
        self.controller.step(self.readings, self.permit, now, outputs)
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
        """What can wait: changed settings into force, and onto flash once the contactor is open."""
        while True:
            task.beat()
            now = clock.now_ms()
            if not self.board:
                self.clock.advance(now)
            elif self.supervisor.doomed:
                self.board.read(self.readings)  # so that page and console show what is true
            else:
                self._configure()
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

    def hold(self, reason):
        """Withdraw the permit, with the code why, until `release`."""
        self.permit.reason = reason
        self.permit.allowed = False

    def release(self):
        """Give the permit back."""
        self.permit.allowed = True
        self.permit.reason = ""

    def take_longest_gap_ms(self):
        """Longest time between two ticks since the last call."""
        gap_ms = self._longest_gap_ms
        self._longest_gap_ms = 0
        return gap_ms

    def reboot(self):
        """Outputs safe, then a restart of the chip."""
        self.make_safe()
        chip.reset()

    def announce(self):
        """Say on the serial console that every task runs; the flash tool waits for this line."""
        if self.settings.notice:
            print("holdfast:", self.settings.notice)
        how = "id={} version={} board={} boot={} after={}".format(
            self.id,
            VERSION,
            self.settings.board,
            self.clock.boot,
            chip.reset_cause().replace(" ", "-"),
        )
        if self.refusal:
            print("holdfast: not charging, outputs safe:", self.refusal, how)
        else:
            print("holdfast: running", how)


def _derating(settings):
    return Derating(
        settings.derate_half_c,
        settings.derate_quarter_c,
        settings.derate_stop_c,
        settings.derate_resume_c,
    )
