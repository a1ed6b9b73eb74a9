"""Tasks that die in every way, fall silent or hang, against the supervisor and its watchdog."""

import asyncio
import sys

from firmware import clock, ticks
from firmware.supervisor import Supervisor


class Watchdog:
    """Counts, and remembers when it was fed last."""

    def __init__(self):
        self.fed = 0

    def feed(self):
        self.fed += 1


async def until(condition, what, limit_ms=15000):
    start = clock.now_ms()
    while not condition():
        assert ticks.diff(clock.now_ms(), start) < limit_ms, what
        await asyncio.sleep_ms(10)


async def well(task):
    while True:
        task.beat()
        await asyncio.sleep_ms(20)


def named(supervisor, name):
    for t in supervisor.tasks:
        if t.name == name:
            return t


async def dying():
    """Each way to die is noticed, its reason kept, and the task is running again after it."""
    ready = []
    watchdog = Watchdog()
    s = Supervisor(watchdog, lambda: ready.append(1))

    def dies(how):
        async def run(task):
            task.beat()
            await asyncio.sleep_ms(50)
            if task.restarts == 0:
                how()
                return
            await well(task)

        return run

    def boom():
        raise ValueError("boom " + "x" * 500)

    def memory():
        raise MemoryError

    def leave():
        raise SystemExit

    def cancelled():
        raise asyncio.CancelledError

    s.add("steady", well)
    s.add("boom", dies(boom))
    s.add("memory", dies(memory))
    s.add("exit", dies(leave))
    s.add("cancelled", dies(cancelled))
    s.add("returns", dies(lambda: None))
    running = asyncio.create_task(s.run())
    await until(lambda: s.ready, "ready")
    await until(lambda: all(t.restarts == 1 for t in s.tasks[1:]), "restarts")
    whys = [t.why for t in s.tasks]
    assert whys[0] is None and s.tasks[0].restarts == 0
    assert whys[1].startswith("ValueError: boom") and len(whys[1]) < 100, whys
    assert "MemoryError" in whys[2] and "SystemExit" in whys[3] and "Cancelled" in whys[4], whys
    assert "returned" in whys[5], whys
    assert s.kill("steady") and not s.kill("nobody")
    await until(lambda: s.tasks[0].restarts == 1, "killed task back")
    fed = watchdog.fed
    await until(lambda: watchdog.fed > fed + 2, "fed again")
    assert ready == [1] and not s.doomed
    assert [r["name"] for r in s.report()][:2] == ["steady", "boom"]
    # killed before its first step
    s.kill("boom")
    await until(lambda: named(s, "boom")._running is None, "gone")
    s._start(named(s, "boom"), clock.now_ms())
    named(s, "boom")._running.cancel()
    await until(lambda: named(s, "boom").why == "it was cancelled", "noticed")
    await until(lambda: named(s, "boom").restarts >= 2, "and again")
    running.cancel()


async def growing_delay():
    """A task that dies at once is tried ever more slowly."""
    s = Supervisor()
    starts = []

    async def hopeless(task):
        starts.append(clock.now_ms())
        raise OSError(5)

    s.add("hopeless", hopeless)
    running = asyncio.create_task(s.run())
    await until(lambda: len(starts) >= 4, "four starts")
    running.cancel()
    gaps = [ticks.diff(starts[i + 1], starts[i]) for i in range(3)]
    assert 250 <= gaps[0] < 1000 and gaps[1] >= 500 and gaps[2] >= 1000, gaps
    assert not s.ready


async def silence():
    """Silence is healed by a restart; what does not heal starves the watchdog."""
    watchdog = Watchdog()
    s = Supervisor(watchdog)

    async def once_silent(task):
        task.beat()
        if task.restarts == 0:
            await asyncio.sleep_ms(1000000)
        await well(task)

    s.add("once", once_silent, max_silence_ms=2000)
    running = asyncio.create_task(s.run())
    await until(lambda: s.tasks[0].restarts == 1 and s.tasks[0].reported, "restart of the silent")
    assert "silent" in s.tasks[0].why, s.tasks[0].why
    fed = watchdog.fed
    await until(lambda: watchdog.fed > fed + 2, "fed")
    running.cancel()

    watchdog = Watchdog()
    s = Supervisor(watchdog)

    async def deaf(task):
        task.beat()
        while True:
            try:
                await asyncio.sleep_ms(1000000)
            except asyncio.CancelledError:
                pass

    s.add("deaf", deaf, max_silence_ms=1000)
    s.add("well", well, max_silence_ms=1000)
    running = asyncio.create_task(s.run())
    await until(lambda: s.tasks[0]._silent, "cancelled")
    await asyncio.sleep_ms(700)
    fed = watchdog.fed
    await asyncio.sleep_ms(800)
    assert watchdog.fed == fed, "fed beside a deaf task"
    running.cancel()


async def vital():
    """When the vital task ends the watchdog is never fed again, and the others go on."""
    watchdog = Watchdog()
    s = Supervisor(watchdog)
    safe = []

    async def charging(task):
        try:
            await well(task)
        finally:
            safe.append(1)

    s.add("charging", charging, vital=True)
    s.add("page", well)
    running = asyncio.create_task(s.run())
    await until(lambda: watchdog.fed > 2, "fed")
    s.kill("charging")
    await until(lambda: s.doomed, "doomed", 1000)
    assert safe == [1]
    fed = watchdog.fed
    beat = s.tasks[1].beat_ms
    await asyncio.sleep_ms(800)
    assert watchdog.fed == fed and s.tasks[0].restarts == 0
    assert s.tasks[1].beat_ms != beat
    running.cancel()


async def attended():
    """attend reports in for a task that cannot, passes its end on, and takes it along."""
    s = Supervisor()
    inner = []

    async def child():
        try:
            await asyncio.sleep_ms(1200)
        except asyncio.CancelledError:
            inner.append("cancelled")
            raise
        raise OSError(104)

    s.add("attends", lambda task: task.attend(asyncio.create_task(child())), max_silence_ms=2000)
    running = asyncio.create_task(s.run())
    await until(lambda: s.tasks[0].restarts == 1, "restart")
    assert s.tasks[0].why.startswith("OSError"), s.tasks[0].why
    await asyncio.sleep_ms(300)
    s.kill("attends")
    await until(lambda: inner, "child cancelled")
    running.cancel()


async def held_up():
    """A hold-up of the whole loop is nobody's silence, but nothing is fed for it."""
    import time

    watchdog = Watchdog()
    s = Supervisor(watchdog)
    s.add("a", well, max_silence_ms=1000)
    running = asyncio.create_task(s.run())
    await until(lambda: watchdog.fed > 1, "fed")
    time.sleep_ms(1500)
    await asyncio.sleep_ms(1000)
    assert s.tasks[0].restarts == 0 and s.tasks[0].why is None, s.tasks[0].why
    running.cancel()


async def main():
    await asyncio.gather(dying(), growing_delay(), silence(), vital(), attended())
    await held_up()
    print("ok", file=sys.stderr)


asyncio.run(main())
