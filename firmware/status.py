"""What the charger is doing, in one dict: the contract's status for page, console and cloud.

Built anew for each reader, outside the tick. A key id is never shown whole.
"""

import gc
import json

from micropython import const

from firmware.access.authorization import OWNER
from firmware.access.decision import ONLINE
from firmware.briefly import briefly
from firmware.reasons import sentence
from firmware.version import VERSION

_FULL_PERCENT = const(80)  # as in journal/turn.py, which records it
_PATIENCE = ("RandomDelay", "PlugIn")
_QUIET = ("PermitOpen", "WaitsForKey", "NoClock")  # not worth showing while there is no car


def status(charger):
    """The contract's status of `charger`, plus what helps at the serial console.

    `offline_since_s` is for how long the cloud has not answered, from the start at the latest.

    Beyond the contract: has_cloud (false: none is set up), cloud (how the connection stands, why,
    and the seconds to the next attempt), wifi (None, or how the charger stands in the house's
    network: see firmware/web/reception.py), permit (the access room's answer, and in how many
    seconds it may be another one), tap (what became of the last key), reader, keys, contactor,
    power_w, limit_code, session.estimated, uptime_s, boot, notice, tasks, heap_free and
    tick.longest_gap_ms since the last reader.
    """
    shown = {}
    for part in _parts(charger):
        shown.update(part)
    return shown


def pieces(charger, more=None, brief=False):
    """The status and the members of the dict `more` as JSON: a list of bytes, to be sent in turn.

    `brief`: only what the page shows, since that asks every two seconds over the air. Without
    spaces, for the same reason. In pieces: the whole as one dict and one text would need three
    times the memory, and that in one place.
    """
    made = []
    before = "{"
    for part in _parts(charger, brief):
        made.append((before + json.dumps(part, separators=(",", ":"))[1:-1]).encode())
        before = ","
    if more:
        made.append((before + json.dumps(more, separators=(",", ":"))[1:-1]).encode())
    made.append(b"}")
    return made


def _parts(charger, brief=False):
    """The status as several dicts, one after the other."""
    settings, clock, access = charger.settings, charger.clock, charger.access
    if charger.controller is None:
        yield _faulted("BoardRefused", charger.refusal)
    elif charger.supervisor.doomed:
        # What the controller last said is no longer true.
        yield _faulted("TaskEnded", "Charging has failed; the charger is about to restart.")
    else:
        yield _charging(charger)
        if not brief:
            yield _more_of_charging(charger)
    yield {
        "id": charger.id,
        "contactor": charger.controller is not None and charger.contactor_closed(),
        "online": access.online,
        "has_cloud": charger.uplink is not None,
        "tap": _reason(access.notice) if access.notice else None,
        "clock": {"utc": clock.utc(), "quality": clock.quality},
        "firmware": VERSION,
        "boot": clock.boot,
        "notice": settings.notice or charger.keys.notice or _trouble(charger.recorder),
    }
    if brief:
        return
    online = access.mode == ONLINE
    yield {
        "offline_since_s": None if access.online else _offline_s(charger),
        "policy": settings.online_policy if online else settings.offline_policy,
        "permit": _permit(charger),
        "cloud": _cloud(charger.uplink),
        "wifi": charger.station and briefly("firmware.web.reception").seen(charger),
        "keys": charger.keys.count,
        "uptime_s": clock.uptime_s,
    }
    yield {
        "journal": _journal(charger.recorder),
        "tasks": charger.supervisor.report(),
        "heap_free": gc.mem_free(),
    }


def _trouble(recorder):
    """What keeps the journal from recording, or soon will; None if nothing does."""
    its = recorder.journal
    trouble = recorder.notice or its.refusal
    percent = its.percent_full()
    if not trouble and percent >= _FULL_PERCENT:
        trouble = (
            f"the journal is {percent} % full of records that no cloud has: the oldest go first"
        )
    return trouble


def _journal(recorder):
    its = recorder.journal
    return {
        "pending": its.pending(),
        "capacity": its.capacity(),
        "percent": its.percent_full(),
        "notice": _trouble(recorder) or its.notice,
        "epoch": its.epoch,
        "acked": its.acked,
        "last_seq": its.last_seq,
    }


def _offline_s(charger):
    uplink = charger.uplink
    return charger.clock.uptime_s - (uplink.online_s if uplink else 0)


def _cloud(uplink):
    if uplink is None:
        return None
    worker = uplink.worker
    return {
        "state": "offline-on-purpose" if uplink.until_s else worker.state,
        "why": uplink.notice or uplink.offline_reason or worker.why,
        "next_s": worker.left_s,
    }


def _reason(code):
    return {"code": code, "text": sentence(code)}


def _permit(charger):
    permit = charger.permit
    shown = _reason(permit.reason)
    shown["allowed"] = permit.allowed
    shown["change_s"] = permit.change_s if permit.change_s >= 0 else None
    if permit.change_s >= 0:
        # A driver reads a clock where the schedule decides, and seconds where patience does.
        if permit.reason not in _PATIENCE:
            at_s = charger.clock.utc_s() + permit.change_s + charger.access.schedule.offset_s
            minute = at_s // 60 % 1440
            when = "{:02d}:{:02d}".format(minute // 60, minute % 60)
        else:
            when = "{} s".format(permit.change_s)
        shown["text"] = shown["text"][:-1] + ", " + when + "."
    return shown


def _shown_reason(charger):
    code, permit = charger.controller.reason, charger.permit
    if code == "NoCar" and permit.reason not in _QUIET:
        code = permit.reason  # what became of a key that came before the car
    reader = charger.board.reader
    if code == "WaitsForKey" and reader is not None and not reader.ok:
        code = "ReaderSilent"
    return _permit_reason(charger) if code == permit.reason else _reason(code)


def _permit_reason(charger):
    shown = _permit(charger)
    return {"code": shown["code"], "text": shown["text"]}


def _charging(charger):
    controller = charger.controller
    limits = controller.limits
    return {
        "state": controller.state,
        "reason": _shown_reason(charger),
        "cable": {
            "plugged": controller.connected or limits.cable.rating_a > 0,
            "locked": controller.locked,
            "rating_a": limits.cable_ma // 1000 or None,
        },
        "session": _session(charger),
        "limit_a": limits.effective_ma() // 1000 if limits.cable_ma else _without_cable_a(limits),
        "faults": _faults(charger),
        "power_w": charger.readings.power_w,
    }


def _more_of_charging(charger):
    controller = charger.controller
    limits = controller.limits
    return {
        "pilot": controller.pilot_name,
        "limit_code": limits.limiting() if limits.cable_ma else "",
        "reader": _reader(charger.board.reader),
        "tick": {
            "longest_gap_ms": charger.take_longest_gap_ms(),
            "dead_man": charger.dead_man_count,
        },
    }


def _faults(charger):
    codes = charger.controller.faults.active_codes()
    reader = charger.board.reader
    if reader is not None and not reader.ok:
        codes.append("ReaderSilent")
    return codes


def _reader(reader):
    if reader is None:
        return None
    return {"name": reader.name, "ok": reader.ok, "failures": reader.failures}


def _without_cable_a(limits):
    # Nothing is plugged in: what a cable of any rating would be offered.
    least_ma = min(
        limits.installation_ma, limits.temperature_ma, limits.schedule_ma, limits.lease_ma
    )
    return least_ma // 1000


def _session(charger):
    session, clock = charger.controller.session, charger.clock
    if not (session.active or session.id and charger.controller.state == "Finishing"):
        return None
    return {
        "id": session.id,
        "energy_wh": session.energy_wh,
        "duration_s": session.duration_s,
        "started_at": clock.utc_at(clock.uptime_s - session.duration_s),
        "key": _masked(charger.access.number(OWNER)) if charger.access.owner_length else None,
        "estimated": session.estimated,
    }


def _faulted(code, text):
    return {
        "state": "Faulted",
        "pilot": "F",
        "reason": {"code": code, "text": text},
        "cable": {"plugged": False, "locked": False, "rating_a": None},
        "session": None,
        "limit_a": 0,
        "limit_code": code,
        "faults": [code],
        "reader": None,
        "power_w": 0,
        "tick": {"longest_gap_ms": 0, "dead_man": 0},
    }


def _masked(number):
    whole = number.hex().upper()
    return whole[:2] + ".." + whole[-2:]
