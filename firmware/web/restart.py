"""A restart from the page: the answer goes out first, and the car may stop by itself."""

import asyncio

from micropython import const

_ANSWERED_MS = const(500)
_STOPPED_MS = const(8000)  # a car has 6 s to react to the end of the PWM
_ROUND_MS = const(100)


async def post(charger, request):
    asyncio.create_task(_restart(charger))
    return 200, "application/json", '{"ok": true}', ""


async def _restart(charger):
    controller = charger.controller
    left_ms = _STOPPED_MS
    if controller:
        controller.request_stop("Reboot")
    await asyncio.sleep_ms(_ANSWERED_MS)
    while left_ms > 0 and controller and controller.session.active:
        left_ms -= _ROUND_MS
        await asyncio.sleep_ms(_ROUND_MS)
    if charger.settings.unsaved:
        charger.save()  # what was changed a moment ago
    charger.reboot()
