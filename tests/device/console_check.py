"""The console's names, and that aiorepl's raw mode and a closed contactor never meet."""

import asyncio
import sys

import aiorepl

from firmware import console, console_prompt
from firmware.settings import Settings

said = []


def say(*words):
    said.append(" ".join(str(w) for w in words))


console.print = console_prompt.print = say


class Controller:
    state = "Charging"
    unlocks = 0

    def request_unlock(self):
        Controller.unlocks += 1


class Journal:
    notice = refusal = None

    def pending(self):
        return 3

    def capacity(self):
        return 8000


class Recorder:
    notice = None
    journal = Journal()


class Rooms:
    """What the console sees of a charger."""

    def __init__(self):
        self.id = "test-1"
        self.settings = Settings()
        self.controller = Controller()
        self.refusal = None
        self.closed = False
        self.held = None
        self.reboots = 0

        self.recorder = Recorder()

    def unlock(self, by):
        assert by == "Console"
        self.controller.request_unlock()

    def contactor_closed(self):
        return self.closed

    def hold(self, reason):
        self.held = reason

    def release(self):
        self.held = None

    def save(self):
        return not self.closed

    def reboot(self):
        self.reboots += 1


class Task:
    """The supervisor's task, reduced."""

    restarts = 0

    async def attend(self, running):
        return await running


async def typed(text, answers=0):
    """Press the keys; wait until they are read and the last answers are shown."""
    before = len(aiorepl.shown)
    aiorepl.keys.extend(text)
    for _ in range(1000):
        if not aiorepl.keys and len(aiorepl.shown) >= before + answers:
            await asyncio.sleep_ms(10)
            return aiorepl.shown[-1]
        await asyncio.sleep_ms(2)
    raise AssertionError((text, aiorepl.shown, said))


async def prompt():
    charger = Rooms()
    running = asyncio.create_task(console.run(Task(), charger))
    assert "holdfast" in await typed("", 1)

    charger.closed = True
    await typed("\x01")
    assert aiorepl.raw_entered == 0 and charger.held is None
    assert "refused" in said[0] and said[1].startswith('holdfast: status {"'), said
    assert '"contactor": true' in said[1] and '"Charging"' in said[1], said

    charger.closed = False
    await typed("\x01", 1)
    assert aiorepl.raw_entered == 1 and charger.held == "Console"
    await typed("\x02")
    assert charger.held is None

    del said[:]
    assert await typed("settings(installation_limit_a=20)\n", 1) == "in force; saved"
    assert charger.settings.installation_limit_a == 20
    assert "must be" in await typed("settings(installation_limit_a=81)\n", 1)
    charger.closed = True
    assert "once the contactor is open" in await typed("settings(phases=1,pin='271828')\n", 1)
    await typed("settings()\n", 1)
    assert len(said) == len(list(charger.settings.describe())) and "271828" not in str(said)
    assert await typed("unlock()\n", 1) == "asked for" and Controller.unlocks == 1
    assert await typed("reboot()\n", 1) is None and charger.reboots == 1
    assert await typed("journal()\n", 1) == "3 of about 8000 records pending; in order"
    assert await typed("charger.id\n", 1) == "test-1"

    # killed and started again: guarded once more, not twice, and by the same raw mode
    running.cancel()
    await asyncio.sleep_ms(10)
    running = asyncio.create_task(console.run(Task(), charger))
    await typed("", 1)
    charger.closed = True
    del said[:]
    await typed("\x01")
    assert aiorepl.raw_entered == 1 and len(said) == 2
    charger.closed = False
    await typed("\x01", 1)
    assert aiorepl.raw_entered == 2 and charger.held
    running.cancel()
    await asyncio.sleep_ms(10)
    assert charger.held is None, "a console that is killed in raw mode must not bar charging"


async def absent():
    """Without aiorepl: said once, and the task runs on."""
    del sys.modules["aiorepl"]
    sys.path[:] = [p for p in sys.path if "stand_in" not in p]
    del said[:]
    charger = Rooms()
    running = asyncio.create_task(console.run(Task(), charger))
    await asyncio.sleep_ms(20)
    assert len(said) == 1 and "not installed" in said[0], said
    assert not running.done()
    running.cancel()
    again = Task()
    again.restarts = 1
    running = asyncio.create_task(console.run(again, charger))
    await asyncio.sleep_ms(20)
    assert len(said) == 1, said
    running.cancel()
    charger.settings.set_many({"console": False})
    await asyncio.sleep_ms(20)


asyncio.run(prompt())
asyncio.run(absent())
print("ok")
