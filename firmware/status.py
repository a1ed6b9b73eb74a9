"""What the charger is doing, in one dict: the contract's status for page, console and cloud.

Built anew for each reader, outside the tick. A key id is never shown whole.
"""

import gc

from firmware.briefly import briefly
from firmware.version import VERSION

_said = ("", "")


def status(charger):
    """The contract's status of `charger`, plus what helps at the serial console.

    Beyond the contract: contactor, power_w, limit_code, session.estimated, uptime_s, boot, notice,
    tasks, heap_free and tick.longest_gap_ms since the last reader.
    """
    settings, clock = charger.settings, charger.clock
    shown = {
        "id": charger.id,
        "online": False,
        "offline_since_s": clock.uptime_s,
        "policy": "open",
        "clock": {"utc": clock.utc(), "quality": clock.quality},
        "journal": {"pending": 0, "capacity": 0},
        "firmware": VERSION,
        "uptime_s": clock.uptime_s,
        "boot": clock.boot,
        "notice": settings.notice,
        "tasks": charger.supervisor.report(),
        "heap_free": gc.mem_free(),
    }
    shown.update(
        _charging(charger) if charger.controller else _faulted("BoardRefused", charger.refusal)
    )
    if charger.supervisor.doomed:
        # What the controller last said is no longer true.
        shown.update(_faulted("TaskEnded", "Charging has failed; the charger is about to restart."))
        shown["contactor"] = charger.contactor_closed()
    return shown


def _sentence(code):
    """The reason's sentence. All of them together take 4 KB: only the last one is kept."""
    global _said
    if _said[0] != code:
        _said = (code, briefly("firmware.charging.reasons").sentence(code))
    return _said[1]


def _charging(charger):
    controller, readings = charger.controller, charger.readings
    limits = controller.limits
    return {
        "state": controller.state,
        "pilot": controller.pilot_name,
        "reason": {"code": controller.reason, "text": _sentence(controller.reason)},
        "cable": {
            "plugged": controller.connected or limits.cable.rating_a > 0,
            "locked": controller.locked,
            "rating_a": limits.cable_ma // 1000 or None,
        },
        "session": _session(charger),
        "limit_a": limits.effective_ma() // 1000 if limits.cable_ma else _without_cable_a(limits),
        "limit_code": limits.limiting() if limits.cable_ma else "",
        "faults": controller.faults.active_codes(),
        "contactor": charger.contactor_closed(),
        "power_w": readings.power_w,
        "tick": {
            "longest_gap_ms": charger.take_longest_gap_ms(),
            "dead_man": charger.dead_man_count,
        },
    }


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
        "key": None,
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
        "contactor": False,
        "power_w": 0,
        "tick": {"longest_gap_ms": 0, "dead_man": 0},
    }
