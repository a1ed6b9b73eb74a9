"""Commands of the cloud: each obeyed once, and answered each time that its `req` comes.

Loaded for each command.
"""

from firmware.briefly import briefly
from firmware.settings import SettingsError

_MOST_KEYS = 8


class Refused(ValueError):
    """A command that is not obeyed: `error` is a code, the text a sentence."""

    def __init__(self, error, reason):
        super().__init__(reason)
        self.error = error


def receive(uplink, req, content):
    """Do what the message `content` asks for, and answer it; or answer again what was answered.

    MemoryError: nothing of it was done.
    """
    if content.get("do") == "authorize":  # the answer to a question needs none itself
        accepted = content.get("accepted")
        if isinstance(accepted, bool):
            uplink.charger.access.answered(accepted, req)
        else:
            uplink.notice = "an answer of the cloud needs accepted, true or false"
        return
    for known, payload in uplink.replies:
        if known == req and type(known) is type(req):
            uplink.worker.up.put(("reply", payload, 1, False))
            return
    if req == uplink.unlocking or uplink.job and uplink.job[0] == req:
        return  # it is being done, and answered then
    answer = {"req": req, "ok": True}
    try:
        do = content.get("do")
        if do not in _COMMANDS:
            raise Refused("Unknown", "there is no such command: " + str(do)[:20])
        known, allowed = _COMMANDS[do]
        for name in content:
            if name not in ("req", "do") and name not in allowed:
                raise Refused("Field", str(name)[:20] + " is no field of " + do)
        if known(uplink, req, content):
            return  # answered later
    except Refused as e:
        answer = {"req": req, "ok": False, "error": e.error, "reason": str(e)}
    except SettingsError as e:
        answer = {"req": req, "ok": False, "error": "Setting", "field": e.field, "reason": str(e)}
    except ValueError as e:
        answer = {"req": req, "ok": False, "error": "Value", "reason": str(e)}
    except MemoryError:
        answer = {"req": req, "ok": False, "error": "Memory", "reason": "no memory: try again"}
    try:
        briefly("firmware.uplink.pending").reply(uplink, answer)
    except MemoryError:
        uplink.late = answer  # what was asked for is done: only the answer comes again


def _charging(uplink):
    if uplink.charger.controller is None:
        raise Refused("BoardRefused", str(uplink.charger.refusal))
    return uplink.charger.controller


def _unlock(uplink, req, content):
    _charging(uplink)
    if uplink.unlocking is not None:
        raise Refused("Busy", "the cable is being released already")
    uplink.charger.unlock("Cloud")
    uplink.unlocking = req
    return True


def _start(uplink, req, content):
    _charging(uplink)
    uplink.charger.access.start()


def _stop(uplink, req, content):
    _charging(uplink).request_stop("Remote")


def _limit(uplink, req, content):
    limit_a, for_s = content.get("limit_a"), content.get("for_s")
    if isinstance(limit_a, bool) or not isinstance(limit_a, int) or not 0 <= limit_a <= 80:
        raise Refused("Value", "limit_a must be a whole number from 0 to 80")
    if isinstance(for_s, bool) or not isinstance(for_s, int):
        raise Refused("Value", "for_s must be a whole number from 1 to 86400")
    uplink.charger.access.lease(limit_a * 1000, for_s)


def _set(uplink, req, content):
    changes = content.get("settings")
    if not isinstance(changes, dict) or not changes:
        raise Refused("Value", "settings must be an object of names and values")
    uplink.charger.settings.set_many(changes)


def _keys(uplink, req, content):
    add, remove = content.get("add", []), content.get("remove", [])
    for rows in (add, remove):
        if not isinstance(rows, list):
            raise Refused("Value", "add and remove must be lists")
    if not 0 < len(add) + len(remove) <= _MOST_KEYS:
        raise Refused("Value", f"one command changes 1 to {_MOST_KEYS} keys")
    if uplink.job:
        raise Refused("Busy", "the list of keys is being changed already")
    if uplink.charger.contactor_closed():
        # Each change erases flash, which holds up the whole chip.
        raise Refused("Charging", "the list of keys is not changed while a car charges")
    uplink.job = (req, briefly("firmware.uplink.key_change").steps(uplink.charger, add, remove))
    return True


def _reboot(uplink, req, content):
    uplink.reboots = True


_COMMANDS = {
    "unlock": (_unlock, ()),
    "start": (_start, ()),
    "stop": (_stop, ()),
    "limit": (_limit, ("limit_a", "for_s")),
    "set": (_set, ("settings",)),
    "keys": (_keys, ("add", "remove")),
    "reboot": (_reboot, ()),
}
