"""Keeps the tasks alive, and the watchdog fed only while every one of them reports in.

Promises: a task that ends in any way (exception, cancellation, plain return) is started again
after a growing delay, and why is kept. One that is silent for half its time is cancelled and
started again; the watchdog is fed only while no task has been silent for all of its time, dead
time included. A vital task is not started again: when it ends, the watchdog is never fed again,
and the reset starts everything from a known state.

Making the outputs safe is not done here: the vital task does that on its way out, and the board's
own timer when nothing runs at all.
"""

import asyncio
import sys

from micropython import const

from firmware import clock, ticks

_ROUND_MS = const(200)
_ATTEND_MS = const(500)
_FIRST_DELAY_MS = const(250)
_LONGEST_DELAY_MS = const(8000)
_STABLE_MS = const(60000)  # a task that ran for so long starts again without much delay
_WHY_LENGTH = const(96)


class Task:
    """One supervised task: `restarts` counts, `why` is the reason of its last end or None."""

    def __init__(self, name, start, max_silence_ms, vital, now):
        self.name = name
        self.start = start
        self.max_silence_ms = max_silence_ms
        self.vital = vital
        self.restarts = 0
        self.why = None
        self.reported = False
        self.beat_ms = now
        self._running = None  # the asyncio task; None before the start and while waiting
        self._silent = False  # cancelled for silence, and it has not ended yet
        self._changed_ms = now  # when it started, or ended
        self._delay_ms = 0

    def beat(self):
        """The task's report that it is alive. Allocates nothing."""
        self.beat_ms = clock.now_ms()
        self.reported = True

    async def attend(self, running):
        """Report in for as long as the asyncio task `running` lasts; then its result, or raise.

        For a task that waits in code which cannot report in itself.
        """
        try:
            while not running.done():
                self.beat()
                await asyncio.sleep_ms(_ATTEND_MS)
            return await running
        finally:
            running.cancel()

    async def _run(self):
        try:
            await self.start(self)
            self._ended("it returned", None)
        except KeyboardInterrupt:
            raise  # somebody at the serial console: it ends the loop, see app.run
        except BaseException as e:  # noqa: BLE001 -- CancelledError and SystemExit end a task as well
            self._ended(None, e)

    def _ended(self, why, exception):
        now = clock.now_ms()
        ran_ms = ticks.diff(now, self._changed_ms)
        self._running = None
        self._changed_ms = now
        self._delay_ms = (
            _FIRST_DELAY_MS if ran_ms >= _STABLE_MS else min(self._delay_ms * 2, _LONGEST_DELAY_MS)
        ) or _FIRST_DELAY_MS
        if self._silent:
            why = f"it was silent for {self.max_silence_ms // 2} ms"
        elif exception is not None:
            try:
                why = f"{type(exception).__name__}: {exception}"[:_WHY_LENGTH]
            except Exception:  # noqa: BLE001 -- no memory left to say more
                why = type(exception).__name__
        self._silent = False
        self.why = why
        print("holdfast: task", self.name, "ended:", why)
        if exception is not None and not isinstance(exception, asyncio.CancelledError):
            sys.print_exception(exception)


async def _cancel(running):
    running.cancel()


class Supervisor:
    """`watchdog` has `feed()`; None while there is nothing to watch over.

    `on_ready` is called once, when every task has reported in for the first time.
    """

    def __init__(self, watchdog=None, on_ready=None):
        self.tasks = []
        self.doomed = False  # a vital task ended: the watchdog is not fed any more
        self.ready = False
        self._watchdog = watchdog
        self._on_ready = on_ready
        self._round_ms = clock.now_ms()

    def add(self, name, start, max_silence_ms=30000, vital=False):
        """Register `start`: a function that takes its Task and returns the coroutine to run."""
        task = Task(name, start, max_silence_ms, vital, clock.now_ms())
        self.tasks.append(task)
        return task

    def kill(self, name):
        """Cancel the task `name` at the next chance; False if no such task runs."""
        for task in self.tasks:
            if task.name == name and task._running is not None:
                # Not here: the caller may be that very task, and a task cannot cancel itself.
                asyncio.create_task(_cancel(task._running))
                return True
        return False

    def report(self):
        """Name, restarts and the last reason of the tasks that ever ended, for the status."""
        rows = []
        for t in self.tasks:
            if t.why is not None:
                rows.append({"name": t.name, "restarts": t.restarts, "why": t.why})
        return rows

    async def run(self):
        """Start every task and watch over them for ever."""
        now = clock.now_ms()
        for task in self.tasks:
            self._start(task, now)
        while True:
            await asyncio.sleep_ms(_ROUND_MS)
            self._round(clock.now_ms())

    def _start(self, task, now):
        task._changed_ms = now
        task._running = asyncio.create_task(task._run())

    def _round(self, now):
        # After a hold-up of the whole loop nobody could report in: judge in the next round.
        held_up = ticks.diff(now, self._round_ms) > 2 * _ROUND_MS
        self._round_ms = now
        well = not held_up
        for task in self.tasks:
            if task._running is not None and task._running.done():
                task._ended("it was cancelled", None)  # before its first step
            silent_ms = ticks.diff(now, task.beat_ms)
            if task._running is None:
                if task.vital:
                    self.doomed = True
                elif ticks.diff(now, task._changed_ms) >= task._delay_ms:
                    task.restarts += 1
                    self._start(task, now)
            elif (
                min(silent_ms, ticks.diff(now, task._changed_ms)) > task.max_silence_ms // 2
                and not task._silent
                and not held_up
            ):
                task._silent = True
                task._running.cancel()
            if not task.reported or silent_ms > task.max_silence_ms:
                well = False
        if well and not self.doomed:
            if not self.ready:
                self.ready = True
                if self._on_ready is not None:
                    self._on_ready()
            if self._watchdog is not None:
                self._watchdog.feed()
