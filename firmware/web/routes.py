"""The routes of the charger's web interface, and what is asked before each of them.

Promises: no route runs for a name that is not this charger's (a page elsewhere whose name was bound
to our address afterwards), for a change that a page from elsewhere sends, without a login where one
is needed, or for a body that is no JSON object. Who has logged in lives here; what it takes to get
in is in login.py.
"""

import asyncio

from micropython import const

from firmware.briefly import briefly, its_end, turn
from firmware.web.server import SHORT_MS, error

_TRIES = const(10)
_IDLE_S = const(1800)
_LOGIN_S = const(43200)

# A line for each path: + where it takes a login, its methods, and the module of this room that is
# loaded for the length of one request. It has a coroutine function (charger, request) for each
# method, named like it in small letters; GET answers a HEAD, whose body the server leaves away.
ROUTES = """
/ - GET page
/more.js - GET page
/unlock - GET,POST form
/api/status - GET status
/api/login - POST login
/api/logout + POST login
/api/setup - POST settings
/api/settings + GET,PUT settings
/api/unlock + POST unlock
/api/start + POST charge
/api/stop + POST charge
/api/keys + GET,POST,DELETE keys
/api/sessions + GET sessions
/api/events + GET events
/api/clock + POST clock
/api/restart + POST restart
"""
ROOM = "firmware.web."


class Logins:
    """Who is logged in at `charger`, and who guesses.

    Times are in seconds since the start.
    """

    def __init__(self):
        self.pin = ""  # with which those in `open` logged in
        self.open = []  # [cookie, since, last used]; four at the most
        self.wrong = []  # [address, wrong PINs, no further try before, last try], by the last try
        self.times = []  # of the wrong PINs within an hour
        self.until_s = 0  # nobody may try before
        self.failed = 0  # wrong PINs that were not recorded yet
        self.told_s = -60  # when some were

    def find(self, charger, cookie):
        """The login with this cookie that is still good, or None."""
        now_s = charger.clock.uptime_s
        if self.pin != charger.settings.pin:
            self.open = []
        for login in self.open:
            if same(cookie, login[0]):
                if now_s - login[1] < _LOGIN_S and now_s - login[2] < _IDLE_S:
                    return login
                self.open.remove(login)
                break
        return None


def same(given, right):
    """Whether two bytes are the same; how long that takes tells nothing about `right`."""
    wrong = len(given) ^ len(right)
    for i in range(len(given)):
        wrong |= given[i] ^ right[i % len(right)]
    return not wrong


def application(charger):
    """What `Server` asks for the answer to each request about `charger`.

    A route finds `login` (its own, or None) at its request and, where it changes things, `content`,
    the object that came as JSON. All logins are in `charger.logins`.
    """
    charger.logins = logins = Logins()

    async def answer(request):
        headers = request.headers
        host = headers.get("host", b"")
        name = host.partition(b":")[0].lower()
        if name and not name.replace(b".", b"").isdigit() and name != b"localhost":
            its = charger.id.lower().encode()
            # By mDNS it has the name that firmware/web/radio.py gives it.
            own = its.replace(b"_", b"-").replace(b".", b"-").strip(b"-")
            if name not in (its, its + b".local", own, own + b".local"):
                here = briefly("firmware.web.portal").probe(request.path, host)
                return here or error(421, "MisdirectedRequest")
        at = ROUTES.find("\n" + request.path + " ") + 1
        if not at:
            return error(404, "UnknownAddress")
        _, who, methods, module = ROUTES[at : ROUTES.find("\n", at)].split(" ")
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods.split(","):
            allowed = "Allow: {}\r\n".format(methods.replace("GET", "GET,HEAD"))
            return error(405, "MethodNotAllowed", allowed)
        login = logins.find(charger, headers.get("cookie", b""))
        if module == "status":
            more = {"login": login is not None, "setup": not charger.settings.pin}
            if turn.locked():
                await its_end()
            made = briefly("firmware.status").pieces(charger, more, request.query == "brief")
            return 200, "application/json", (made.pop(0) for _ in range(len(made))), ""
        request.login = login
        if who == "+":
            if login is None:
                return error(401, "LoginRequired")
            login[2] = charger.clock.uptime_s
        looked_at = method == "GET"
        left = _TRIES
        while True:
            try:
                if not looked_at:
                    refused = briefly("firmware.web.change").refuse(request)
                    if refused:
                        return refused
                    looked_at = True
                route = getattr(briefly(ROOM + module), method.lower())
                break
            except MemoryError:
                # Nothing has been done yet: whoever wants to free a cable need not ask again.
                left -= 1
                if not left:
                    raise
            await asyncio.sleep_ms(SHORT_MS)
        return await route(charger, request)

    return answer
