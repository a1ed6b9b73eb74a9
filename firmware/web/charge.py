"""Starting and stopping from the page: the owner's word."""

from firmware.web.server import error


async def post(charger, request):
    """Ask for it; what comes of it shows in the status."""
    if charger.controller is None:
        return error(409, "BoardRefused", "", {"reason": charger.refusal})
    if request.path == "/api/start":
        charger.access.start()
    else:
        charger.controller.request_stop()
    return 200, "application/json", '{"ok": true}', ""
