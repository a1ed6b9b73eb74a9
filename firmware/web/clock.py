"""The wall clock, set by a phone that is at the page."""

import json

from firmware.briefly import briefly
from firmware.web.server import error

_2000_S = 946684800


async def post(charger, request):
    """Answers with the time in force, which is another where a better source has set it."""
    clock = charger.clock
    try:
        utc_s = briefly("firmware.utc_text").parse(request.content.get("utc"))
        clock.set(utc_s + _2000_S, "phone")
    except ValueError as e:
        return error(400, "InvalidTime", "", {"reason": "utc " + str(e) + "."})
    shown = {"utc": clock.utc(), "quality": clock.quality}
    return 200, "application/json", json.dumps(shown), ""
