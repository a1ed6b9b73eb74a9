"""What the cloud says: one message at a time, checked, and put where it belongs.

Loaded for each message. A message that makes no sense changes nothing and leaves a notice.
"""

import json

from micropython import const

from firmware.briefly import briefly

_LONGEST_WINDOW_S = const(14400)
_STRICT_HEAD = const(24)  # percent of the window: see docs/fleet.md
_MOST_GRANT = const(1000000)
_MOST_REQ = const(36)  # characters, as a UUID has
_CLOCK_APART_S = const(2)
_SPREAD_MS = const(10000)
_ARRIVED_MS = const(10000)
_1970_TO_2000_S = const(946684800)


class Malformed(ValueError):
    """A message that makes no sense; the text says why."""


def receive(uplink, topic, payload):
    """Act on `payload`, which came on `topic` (bytes). MemoryError: nothing was changed."""
    name = topic.decode().rsplit("/", 1)[-1]
    try:
        if name == "offline" and not payload:
            briefly("firmware.uplink.setup").end_offline(uplink)
            return
        try:
            content = json.loads(payload)
        except ValueError:
            raise Malformed("is no JSON") from None
        if not isinstance(content, dict):
            raise Malformed("is no JSON object")
        if name in _TOPICS:
            _TOPICS[name](uplink, content)
    except Malformed as e:
        uplink.notice = f"a message of the cloud on {name} {e}"


def number(content, name, least, most):
    """The whole number `name` of a message; Malformed unless it is there and within its range."""
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Malformed(f"needs {name}, a whole number from {least} to {most}")
    return value


def utc_s(content, name):
    """The time `name` of a message in seconds since 2000; Malformed if it is none."""
    try:
        return briefly("firmware.utc_text").parse(content.get(name))
    except ValueError as e:
        raise Malformed(f"needs {name}: it {e}") from None


def _heard(uplink):
    # A cloud that falls silent does so to all at once: each gives it up to ten seconds more.
    uplink.unheard_ms = -uplink.outbox.draw(_SPREAD_MS)


def _heartbeat(uplink, content):
    its = uplink.charger.clock
    at_s = utc_s(content, "utc")
    # Each setting of the clock becomes a record: not every half minute.
    if its.quality != "cloud" or abs(at_s - its.utc_s()) > _CLOCK_APART_S:
        try:
            its.set(at_s + _1970_TO_2000_S, "cloud")
        except ValueError as e:
            raise Malformed("has a utc that cannot be: " + str(e)) from None
    _heard(uplink)


def _ack(uplink, content):
    journal = uplink.charger.recorder.journal
    epoch = number(content, "epoch", 0, 0xFFFFFFFF)
    through = number(content, "through", 0, 0xFFFFFFFF)
    _heard(uplink)
    if epoch != journal.epoch:
        return  # of the journal that was here before, or of another charger with this name
    if through > journal.last_seq:
        uplink.notice = "the cloud claims to have record {} of {}: has another charger this name?"
        uplink.notice = uplink.notice.format(through, journal.last_seq)
    elif through < journal.acked:
        if uplink.forgot != journal.acked:
            uplink.forgot = journal.acked
            uplink.notice = "the cloud has lost records: it has {} of the {} it confirmed".format(
                through, journal.acked
            )
            uplink.charger.recorder.append("notice", "CloudForgot", through)
        briefly("firmware.uplink.presence").resend(uplink.outbox, through)  # what is still on flash
    else:
        uplink.notice = None
        uplink.outbox.acked = through
        if journal.store.wears or not uplink.charger.contactor_closed():
            journal.ack(epoch, through)
        else:
            uplink.to_keep = True  # in a file it erases flash, which holds up the whole chip


def _grant(uplink, content):
    outbox = uplink.outbox
    outbox.granted = number(content, "records", 0, _MOST_GRANT)
    if outbox.quiet_ms > _ARRIVED_MS:
        # It was not acked for so long, and the cloud waits for something: it has not arrived. A
        # cloud that was away for a moment, and was not missed, does not say more than this.
        outbox.quiet_ms = 0
        briefly("firmware.uplink.presence").resend(outbox, outbox.acked)
    _heard(uplink)


def _window(uplink, content):
    # The broker keeps this one: it does not say that the cloud is there.
    window_s = number(content, "window_s", 1, _LONGEST_WINDOW_S)
    strict = content.get("strict_first", False)
    if not isinstance(strict, bool):
        raise Malformed("needs strict_first, true or false")
    briefly("firmware.uplink.setup").set_window(uplink, window_s, _STRICT_HEAD if strict else 0)


def _offline(uplink, content):
    until_s = utc_s(content, "until")
    reason = content.get("reason", "")
    if not isinstance(reason, str) or len(reason) > 64:
        raise Malformed("needs reason, a text of up to 64 characters")
    briefly("firmware.uplink.setup").begin_offline(uplink, until_s, reason)


def _command(uplink, content):
    req = content.get("req")
    if isinstance(req, bool) or not (
        isinstance(req, int) or isinstance(req, str) and 0 < len(req) <= _MOST_REQ
    ):
        raise Malformed(f"needs req, a number or a text of up to {_MOST_REQ} characters")
    _heard(uplink)
    uplink.todo = ("commands", req, content)  # when this module's memory is free again


_TOPICS = {
    "heartbeat": _heartbeat,
    "ack": _ack,
    "grant": _grant,
    "window": _window,
    "offline": _offline,
    "command": _command,
}
