"""Commands that take their time: keys that are changed in steps, a lock that opens. And replies.

Loaded while there is one under way, and for each reply.
"""

import json

_UNLOCK_MS = 15000
_ASKED_MS = 200  # several ticks: the request has been seen
_REPLIES_KEPT = 4


def reply(uplink, answer):
    """Answer a command, and keep the answer for when the same `req` comes again.

    `answer` can also be the (module, req, content) of a command for which there was no memory, or
    a message of that form. MemoryError: give `uplink.late` here again; what it answers is done.
    """
    if isinstance(answer, tuple):
        module, req, _ = answer
        if module != "commands":
            uplink.notice = "there was no memory for a message of the cloud"
            uplink.late = None
            return
        answer = {"req": req, "ok": False, "error": "Memory", "reason": "no memory: try again"}
    uplink.late = answer
    payload = json.dumps(answer).encode()
    if len(uplink.replies) >= _REPLIES_KEPT:
        uplink.replies.pop(0)
    uplink.replies.append((answer["req"], payload))
    uplink.worker.up.put(("reply", payload, 1, False))
    uplink.late = None


def go_on(uplink, dt_ms):
    """Do some of what is under way."""
    if uplink.job:
        _work(uplink)
    if uplink.unlocking is not None:
        _unlock(uplink, dt_ms)


def _work(uplink):
    req, steps = uplink.job
    try:
        next(steps)
        return
    except StopIteration:
        answer = {"req": req, "ok": True}
    except (OSError, ValueError, MemoryError) as e:
        answer = {"req": req, "ok": False, "error": "Refused", "reason": str(e)}
    uplink.job = None
    reply(uplink, answer)


def _unlock(uplink, dt_ms):
    charger, req = uplink.charger, uplink.unlocking
    controller = charger.controller
    uplink.unlock_ms += dt_ms
    closed = controller.session.active or charger.contactor_closed()
    if uplink.unlock_ms > _ASKED_MS and controller.unlocked() and not closed:
        answer = {"req": req, "ok": True, "locked": False}
    elif uplink.unlock_ms > _UNLOCK_MS:
        answer = {"req": req, "ok": False, "error": controller.reason}
        answer["reason"] = "the lock did not open"
    else:
        return
    uplink.unlocking = None
    uplink.unlock_ms = 0
    reply(uplink, answer)
