"""Logging in with the PIN, and out: how fast it may be tried, and what is recorded.

Promises: nobody who guesses gets faster by closing connections or by coming from other addresses;
nothing here sleeps, who has to wait is told for how long; a wrong PIN of one client makes others
wait only after 30 wrong ones within an hour, and for 5 minutes. Who is logged in is not affected by
others at all.
"""

import binascii
import os

from micropython import const

from firmware.web.routes import same
from firmware.web.server import error

_OPEN = const(4)
_ADDRESSES = const(8)
_HOUR_S = const(3600)
_AT_ONCE = const(3)  # wrong PINs of one client; each further wait is twice as long
_FIRST_WAIT_S = const(2)
_LOCK_AFTER = const(10)
_LOCK_S = const(900)
_LOCK_ALL_AFTER = const(30)
_LOCK_ALL_S = const(300)
_RECORD_S = const(60)
_NOTES = const(8)


async def post(charger, request):
    """Log in, or out."""
    if request.path == "/api/logout":
        charger.logins.open.remove(request.login)
        return 200, "application/json", '{"ok": true}', cookie(b"", 0)
    return attempt(charger, request, request.content.get("pin")) or (
        200,
        "application/json",
        '{"ok": true}',
        admit(charger),
    )


def attempt(charger, request, pin):
    """Try `pin`: None if it is the right one, else the answer that says what is wrong."""
    logins = charger.logins
    right = charger.settings.pin.encode()
    if not right:
        return error(409, "NoPin")
    if not isinstance(pin, str) or not pin:
        return error(400, "PinRequired")
    now_s = charger.clock.uptime_s
    # A pair on the chip, the socket's own form of it in bytes elsewhere.
    address = request.peer[0] if isinstance(request.peer, tuple) else request.peer[4:8]
    guesses = logins.wrong
    while guesses and now_s - guesses[0][3] >= _HOUR_S:
        guesses.pop(0)
    for guess in guesses:
        if guess[0] == address:
            break
    else:
        guess = [address, 0, now_s, now_s]
    wait_s = max(guess[2], logins.until_s) - now_s
    if wait_s > 0:
        return _wait(429, "TooManyWrongPins", wait_s)
    if guess in guesses:
        guesses.remove(guess)
    if same(pin.encode(), right):
        if logins.failed and note(charger, "LoginFailed", logins.failed):
            logins.failed = 0
        note(charger, "LoggedIn", 1)
        return None
    guess[1] += 1
    wrong = guess[1]
    wait_s = 0
    if wrong >= _LOCK_AFTER:
        wait_s = _LOCK_S
    elif wrong >= _AT_ONCE:
        wait_s = _FIRST_WAIT_S << wrong - _AT_ONCE
    guess[2] = now_s + wait_s
    guess[3] = now_s
    guesses.append(guess)
    if len(guesses) > _ADDRESSES:
        guesses.pop(0)
    logins.times = times = [s for s in logins.times if now_s - s < _HOUR_S]
    times.append(now_s)
    logins.failed += 1
    if len(times) >= _LOCK_ALL_AFTER:
        logins.times = []
        logins.until_s = now_s + _LOCK_ALL_S
        wait_s = max(wait_s, _LOCK_ALL_S)
        wrong = _LOCK_ALL_AFTER
    if now_s - logins.told_s >= _RECORD_S and note(charger, "LoginFailed", logins.failed):
        logins.told_s = now_s
        logins.failed = 0
    if wrong >= _LOCK_AFTER:
        note(charger, "LockedOut", wrong)
    return _wait(401, "IncorrectPin", wait_s)


def note(charger, code, count):
    """Have a record of security made, soon; False if too many wait for the contactor to open."""
    if len(charger.notes) >= _NOTES:
        return False
    charger.notes.append((code, "Page", count))
    return True


def _wait(status, code, wait_s):
    return error(status, code, "Retry-After: {}\r\n".format(wait_s), {"wait_s": wait_s})


def admit(charger):
    """Let the one who asks in: the header with its cookie."""
    logins = charger.logins
    if logins.pin != charger.settings.pin:
        logins.pin = charger.settings.pin
        logins.open = []
    now_s = charger.clock.uptime_s
    if len(logins.open) >= _OPEN:
        logins.open.remove(min(logins.open, key=lambda login: login[2]))
    secret = binascii.hexlify(os.urandom(16))
    logins.open.append([secret, now_s, now_s])
    return cookie(secret, 43200)


def cookie(secret, for_s):
    """The header that sets the cookie for `for_s`; 0 takes it away."""
    return "Set-Cookie: holdfast={}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}\r\n".format(
        secret.decode(), for_s
    )
