"""The service console on the serial port: a prompt inside the running charger, by aiorepl.

At its prompt stand these names, and the rooms of `charger`:

    status()     what GET /api/status shows
    settings()   every setting; settings(installation_limit_a=20) changes some
    journal()    records on flash (none yet: the journal comes with a later part)
    unlock()     ends the session, opens the contactor, releases the cable
    reboot()     outputs safe, then a restart

aiorepl's raw mode (Ctrl-A) can run code that holds up every task. It is refused while the
contactor is closed, and while it lasts the contactor stays open. Ctrl-D ends the firmware with its
outputs safe, and the watchdog restarts it.

Without aiorepl, or with the setting `console` off, the byte ENQ (Ctrl-E) on the serial port is
answered with one line of status, and Ctrl-C ends the firmware with its outputs safe.
"""

import asyncio
import json
import sys

from micropython import const

from firmware.settings import SettingsError
from firmware.status import status

_RAW_LIMIT_S = const(600)  # a raw mode that was left open must not keep cars from charging


async def run(task, charger):
    """The supervised task: the prompt where there is one, else the answer to ENQ."""
    aiorepl = _installed() if charger.settings.console else None
    if aiorepl is not None:
        if not hasattr(aiorepl, "unguarded_raw_repl"):
            aiorepl.unguarded_raw_repl = aiorepl.raw_repl
        aiorepl.raw_repl = guard(aiorepl.unguarded_raw_repl, charger)
        await task.attend(asyncio.create_task(aiorepl.task(names(charger), "holdfast> ")))
    else:
        if charger.settings.console and not task.restarts:
            print("holdfast: console off: aiorepl is not installed")
        await task.attend(asyncio.create_task(_answer_queries(charger)))


def _installed():
    try:
        import aiorepl
    except ImportError:
        return None
    return aiorepl


def guard(raw_repl, charger):
    """aiorepl's `raw_repl`, but not while the contactor is closed, and it stays open meanwhile."""

    async def guarded(stream, names):
        if charger.contactor_closed():
            print("holdfast: raw mode refused: the contactor is closed")
            print(short_status(charger))
            return None
        charger.hold("Console")
        try:
            return await asyncio.wait_for(raw_repl(stream, names), _RAW_LIMIT_S)
        except asyncio.TimeoutError:  # noqa: UP041 -- another class than the built-in one here
            print("holdfast: raw mode ended: it was open for too long")
        finally:
            charger.release()

    return guarded


def names(charger):
    """The dict of names at the prompt."""

    def settings(**changes):
        if not changes:
            for row in charger.settings.describe():
                shown = row["value"] if "value" in row else "set" if row["set"] else "not set"
                print("{:22}{} {} ({})".format(row["name"], shown, row["unit"], row["meaning"]))
            return None
        try:
            charger.settings.set_many(changes)
        except SettingsError as e:
            return str(e)
        return "in force; " + ("saved" if charger.save() else "saved once the contactor is open")

    def journal():
        return "no journal yet"

    def unlock():
        if charger.controller is None:
            return charger.refusal
        charger.controller.request_unlock()
        return "asked for"

    return {
        "charger": charger,
        "status": lambda: status(charger),
        "settings": settings,
        "journal": journal,
        "unlock": unlock,
        "reboot": charger.reboot,
    }


def short_status(charger):
    """One line for programs at the serial port: id, state, and whether the contactor is closed."""
    state = charger.controller.state if charger.controller else "Faulted"
    closed = charger.contactor_closed()
    return "holdfast: status " + json.dumps({"id": charger.id, "state": state, "contactor": closed})


async def _answer_queries(charger):
    serial = asyncio.StreamReader(sys.stdin.buffer)
    while byte := await serial.read(1):
        if byte == b"\x05":
            print(short_status(charger))
    while True:  # the other end is gone for good, as it can be for a process
        await asyncio.sleep(3600)
