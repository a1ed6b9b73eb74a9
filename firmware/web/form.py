"""Freeing the cable without JavaScript: a form with the PIN, and a page that says how it ended.

In the language that the browser asks for, of those in form.txt.
"""

import json

from firmware.briefly import briefly

_TEXTS = __file__[: __file__.rindex("/") + 1] + "form.txt"
_KIND = "text/html; charset=utf-8"
_POLICY = (
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
    " base-uri 'none'\r\n"
)
_TOP = (
    '<!doctype html>\n<html lang="{0}">\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
    '<meta name="color-scheme" content="light dark">\n<title>{1}</title>\n'
    "<style>body{{font:1.25rem/1.5 system-ui,sans-serif;max-width:30rem;margin:2rem auto;"
    "padding:0 1rem}}input,button{{font:inherit;width:100%;box-sizing:border-box;padding:.75rem;"
    "margin:.5rem 0}}button{{background:#ffd600;color:#000;border:2px solid #000;"
    "border-radius:.5rem;font-weight:600}}</style>\n"
    '<main>\n<h1>{1}</h1>\n<p role="status"><strong>{2}</strong></p>\n'
)
_FORM = '<form method="post" action="/unlock">\n{}<button>{}</button>\n</form>\n'
_PIN = (
    '<label>{}<input name="pin" type="password" inputmode="numeric"'
    ' autocomplete="current-password" required></label>\n'
)


async def get(charger, request):
    return 200, _KIND, _page(request, "ReleaseAsked"), _POLICY


async def post(charger, request):
    """The same rules as for POST /api/login and /api/unlock; who gave the PIN stays logged in."""
    headers = _POLICY
    pin = ""
    for field in bytes(request.body).split(b"&"):
        if field[:4] == b"pin=" and field[4:].isdigit():
            pin = field[4:].decode()
    if pin or not request.login:
        login = briefly("firmware.web.login")
        refused = login.attempt(charger, request, pin)
        if refused:
            said = json.loads(refused[2])
            page = _page(request, said["error"], said.get("wait_s"))
            return refused[0], _KIND, page, headers + refused[3]
        headers += login.admit(charger)
        request.login = login = True
    code = await briefly("firmware.web.unlock").release(charger)
    return 409 if code else 200, _KIND, _page(request, code or "CableIsFree"), headers


def _page(request, code, wait_s=None):
    language = "en"
    for one in request.headers.get("accept-language", b"").lower().split(b","):
        one = one.strip()[:2]
        if one in (b"en", b"de", b"nb", b"no", b"nn"):
            language = "nb" if one[:1] == b"n" else one.decode()
            break
    text = _text(language, code)
    if wait_s:
        text += " " + _text(language, "WaitSeconds").format(wait_s)
    yield _TOP.format(language, _text(language, "ReleaseTitle"), text).encode()
    if code != "CableIsFree":
        pin = "" if request.login else _PIN.format(_text(language, "PinRequested"))
        yield _FORM.format(pin, _text(language, "ReleaseTitle")).encode()
    yield b"</main>\n"


def _text(language, code):
    start = language + " " + code + " "
    with open(_TEXTS) as lines:
        for line in lines:
            if line.startswith(start):
                return line[len(start) :].rstrip()
    return code
