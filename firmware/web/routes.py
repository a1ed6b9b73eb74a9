"""The routes of the charger's web interface, as the contract's table lists them.

Open to anyone: the page and the status. What needs a login comes with the login.
"""

import json

from firmware.briefly import briefly
from firmware.status import status
from firmware.web.server import error

_PAGE = __file__[: __file__.rindex("/") + 1] + "page.html"


async def _page(charger, request):
    return 200, "text/html; charset=utf-8", _contents(open(_PAGE, "rb")), ""


def _contents(file):
    with file:
        piece = file.read(512)
        while piece:
            yield piece
            piece = file.read(512)


async def _status(charger, request):
    return 200, "application/json", json.dumps(status(charger)), ""


# Path: the methods it takes, and who answers: a coroutine function (charger, request), or the name
# of a module that is loaded for the length of one request and has such a function for each method,
# named like it in small letters.
ROUTES = {
    "/": ("GET, HEAD", _page),
    "/api/status": ("GET, HEAD", _status),
}


def application(charger):
    """What `Server` asks for the answer to each request about `charger`."""

    async def answer(request):
        row = ROUTES.get(request.path)
        if row is None:
            return error(404, "There is no such page.")
        methods, route = row
        if request.method not in methods.split(", "):
            return error(
                405, "This address does not take that method.", "Allow: " + methods + "\r\n"
            )
        if isinstance(route, str):
            # The answer to a HEAD is that to a GET; the server leaves its body away.
            method = "get" if request.method == "HEAD" else request.method.lower()
            route = getattr(briefly(route), method)
        return await route(charger, request)

    return answer
