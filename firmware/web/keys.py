"""The list of keys over HTTP, a page at a time, and its changes."""

import asyncio
import json

from micropython import const

from firmware.access import BadKey
from firmware.briefly import briefly
from firmware.clock import text
from firmware.web.server import error

_PAGE = const(20)
_LEARN_S = const(300)


async def get(charger, request):
    """?from=N: the keys from that index on, 20 at the most."""
    first = request.query[5:] if request.query[:5] == "from=" else "0"
    if not (first.isdigit() and len(first) < 6):
        return error(400, "InvalidQuery")
    return 200, "application/json", _rows(charger, int(first)), ""


def _rows(charger, first):
    access = charger.access
    yield '{{"count": {}, "from": {}, "learning_s": {}, "learned": {}, "keys": ['.format(
        charger.keys.count,
        first,
        (access.learning_ms + 999) // 1000,
        json.dumps(access.learned and access.learned.hex().upper()),
    ).encode()
    lead = ""
    for key in charger.keys.entries(first, _PAGE):
        if key is not None:  # a damaged one: the list's notice tells
            expiry_s = key.pop("expiry_s")
            key["expires"] = text(expiry_s)[:10] if expiry_s else None
            yield (lead + json.dumps(key)).encode()
            lead = ",\n"
    yield b"]}"


async def post(charger, request):
    """{"learn": seconds}: the next tap is for the page; {"uid", ...}: add a key, or replace it."""
    key = request.content
    if "learn" in key:
        for_s = key["learn"]
        if type(for_s) is not int or not 0 <= for_s <= _LEARN_S:
            return error(400, "InvalidSeconds")
        if not charger.board or not charger.board.reader:
            return error(409, "NoCardReader")
        charger.access.learn(for_s)
        return 200, "application/json", '{"ok": true}', ""
    try:
        expires = key.pop("expires", None)
        if expires:
            key["expiry_s"] = briefly("firmware.utc_text").parse(str(expires) + "T00:00:00Z")
    except ValueError:
        more = {"field": "expires", "reason": "expires must be a day as 2027-01-31."}
        return error(400, "BadKey", "", more)
    return await _change(charger, charger.keys.adding(key))


async def delete(charger, request):
    """{"uid"}: takes this key off the list."""
    return await _change(charger, charger.keys.removing(request.content.get("uid")))


async def _change(charger, steps):
    try:
        while True:
            # Each step writes flash, which may hold up the whole chip.
            if charger.contactor_closed():
                return error(409, "Charging")
            try:
                next(steps)
            except StopIteration:
                break
            await asyncio.sleep_ms(0)
    except BadKey as e:
        return error(400, "BadKey", "", {"field": e.field, "reason": str(e) + "."})
    except OSError:
        return error(500, "FlashRefused")
    finally:
        steps.close()
    briefly("firmware.web.login").note(charger, "KeysChanged", 1)
    return 200, "application/json", '{"ok": true}', ""
