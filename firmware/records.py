"""Which record an event of the charging room becomes. Loaded for each event."""

from firmware.charging import events


def record(recorder, charger, kind, code, value, _now_ms):
    """Let `recorder` record the event, if it is one to be recorded."""
    if kind == events.SESSION_STARTED:
        access = charger.access
        recorder.begin(charger.controller.session.id)
        recorder.append(
            "session_start",
            recorder.session & 0xFFFF,
            charger.readings.meter_wh,
            charger.permit.by[6:],  # Open, Key, AnyKey, Cloud, Owner
            bytes(access.owner_uid[: access.owner_length]),
        )
    elif kind == events.SESSION_ENDED:
        recorder.append("session_end", *recorder.meters(value), code)
    elif kind == events.FAULT:
        recorder.append("fault", code, value)
    elif kind == events.FAULT_CLEARED:
        recorder.append("fault_cleared", code, value)
    elif kind == events.UNLOCKED and charger.unlock_by:
        recorder.append("unlock", charger.unlock_by)
        charger.unlock_by = ""


def changes(recorder, charger, clock_set, online, names):
    """Record what has changed: the clock, the cloud's presence (None: it did not), settings."""
    if clock_set:
        recorder.append("clock")
    if online:
        recorder.append("online")
    elif online is not None:
        recorder.append("offline", "Deliberate" if charger.access.offline_ms else "Server")
    while names:
        recorder.append("settings", names.pop(0), "Other")
