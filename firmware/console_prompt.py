"""What the service console offers where aiorepl is installed, and the guard around its raw mode.

At its prompt stand these names, and the rooms of `charger`:

    status()     what GET /api/status shows
    settings()   every setting; settings(installation_limit_a=20) changes some
    journal()    how full the journal is, and the sentence about its state
    unlock()     ends the session, opens the contactor, releases the cable
    reboot()     outputs safe, then a restart
"""

import asyncio

from micropython import const

from firmware import console
from firmware.settings import SettingsError
from firmware.status import status

_RAW_LIMIT_S = const(600)  # a raw mode that was left open must not keep cars from charging


def guard(raw_repl, charger):
    """aiorepl's `raw_repl`, but not while the contactor is closed, and it stays open meanwhile."""

    async def guarded(stream, names):
        if charger.contactor_closed():
            print("holdfast: raw mode refused: the contactor is closed")
            print(console.short_status(charger))
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
        its = charger.recorder.journal
        state = charger.recorder.notice or its.refusal or its.notice or "in order"
        return "{} of about {} records pending; {}".format(its.pending(), its.capacity(), state)

    def unlock():
        if charger.controller is None:
            return charger.refusal
        charger.unlock("Console")
        return "asked for"

    return {
        "charger": charger,
        "status": lambda: status(charger),
        "settings": settings,
        "journal": journal,
        "unlock": unlock,
        "reboot": charger.reboot,
    }
