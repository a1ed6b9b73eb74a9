"""Freeing the cable from the page: asks, watches, and says how it ended."""

import asyncio

from micropython import const

from firmware import clock, ticks
from firmware.charging.faults import UNLOCK_FAILED, WELDED, code_of
from firmware.web.server import error

_ROUND_MS = const(50)
_SEEN_MS = const(200)  # some ticks: the request has reached the controller
# The car gets 6 s to stop, a jammed lock is tried again every 20 s.
_PATIENCE_MS = const(21500)


async def post(charger, request):
    """Answers when the lock reports open, or when it is clear that it does not."""
    code = await release(charger)
    if code:
        return error(409, code, "", {"reason": charger.refusal} if charger.refusal else None)
    return 200, "application/json", '{"locked": false}', ""


async def release(charger):
    """End the session and free the cable: "" once the lock reports open, or the code why not.

    The charger goes on trying after that.
    """
    controller = charger.controller
    if controller is None:
        return "BoardRefused"
    faults = controller.faults
    count = faults.count(UNLOCK_FAILED)
    charger.unlock("Page")
    start = clock.now_ms()
    waited_ms = 0
    while waited_ms < _PATIENCE_MS and faults.count(UNLOCK_FAILED) == count:
        await asyncio.sleep_ms(_ROUND_MS)
        if faults.is_active(WELDED):
            break
        waited_ms = ticks.diff(clock.now_ms(), start)
        if (
            waited_ms >= _SEEN_MS
            and controller.unlocked()
            and not controller.session.active
            and not charger.contactor_closed()
        ):
            return ""
    for fault in (WELDED, UNLOCK_FAILED):
        if faults.is_active(fault):
            return code_of(fault)
    return "StillLocked"
