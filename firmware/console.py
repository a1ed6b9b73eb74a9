"""The service console on the serial port: a prompt inside the running charger, by aiorepl.

What stands at the prompt is in console_prompt.py.

aiorepl's raw mode (Ctrl-A) can run code that holds up every task. It is refused while the
contactor is closed, and while it lasts the contactor stays open. Ctrl-D ends the firmware with its
outputs safe, and the watchdog restarts it.

Without aiorepl, or with the setting `console` off, the byte ENQ (Ctrl-E) on the serial port is
answered with one line of status, and Ctrl-C ends the firmware with its outputs safe.
"""

import asyncio
import json
import sys


async def run(task, charger):
    """The supervised task: the prompt where there is one, else the answer to ENQ."""
    aiorepl = _installed() if charger.settings.console else None
    if aiorepl is not None:
        # Imported here: it takes memory only where there is a prompt.
        from firmware.console_prompt import guard, names

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
