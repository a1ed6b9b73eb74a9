"""The charger's HTTP API on the virtual board: every route, who may use it, and who may not."""

import contextlib
import gzip
import http.client
import json
import os
import random
import re
import socket
import threading
import time
from concurrent import futures

import pytest
from conftest import ROOT
from test_app import Charger
from test_web import free_port

from firmware import settings_table
from tests.phone import chromium, expect
from tools.virtual import image
from tools.virtual.fitted import fit_reader

PIN = "24681357"
NAME = "garage-1"
SETTINGS = {"board": "smartevse_v3", "charger_id": NAME, "pin": PIN}
START = {"pin": PIN, "installation_limit_a": 16, "phases": 3, "watchdog_s": 8}
PAGE = gzip.compress(b"<!doctype html>\n<title>A page</title>\n", mtime=0)
SECRETS = {
    row[0]: f"hush-{row[0]}"
    for row in settings_table.rows()
    if row[4] & settings_table.SECRET and row[0] != "pin"
}
NOON_UTC = "2026-11-23T12:00:00Z"
NOON_UNIX_S = 1795435200


# What the contract lists, and what is anyone's: the page, the form, the status, the way in.
OPEN = {"/", "/more.js", "/unlock", "/api/status", "/api/login", "/api/setup"}
CLOSED = {
    "/api/logout": "POST",
    "/api/unlock": "POST",
    "/api/start": "POST",
    "/api/stop": "POST",
    "/api/settings": "GET,PUT",
    "/api/keys": "GET,POST,DELETE",
    "/api/sessions": "GET",
    "/api/events": "GET",
    "/api/clock": "POST",
    "/api/restart": "POST",
}
HEADERS = {
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "cache-control",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "content-security-policy",
    "content-encoding",
    "content-disposition",
    "etag",
    "allow",
    "retry-after",
    "set-cookie",
    "location",
}
# A state that no request without a login may change
STATE = (
    "[charger.settings.revision, charger.keys.count, charger.access.learning_ms > 0, "
    "charger.access.start_asked, charger.clock.quality, charger.controller.session.id, "
    "charger.controller.session.active, charger.controller.finished, len(charger.logins.open), "
    "charger.unlock_by, charger.outputs.contactor]"
)


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body
        self.text = body.decode() if headers.get("Content-Encoding") != "gzip" else ""

    @property
    def json(self):
        assert self.headers["Content-Type"] == "application/json", (self.status, self.text)
        return json.loads(self.body)

    @property
    def cookie(self):
        return self.headers["Set-Cookie"].split(";")[0]


class Web(Charger):
    """A charger with a page, whose hardware is followed closely."""

    trace = None  # (contactor closed, lock in permille) as they change, or None

    def _take_world(self, ints):
        super()._take_world(ints)
        if self.trace is not None:
            self.trace.append((ints[0] & 1, ints[1]))

    def ask_page(self, method, path, body=None, cookie="", source="127.0.0.1", **headers):
        """One request; every answer is checked for what all of them must have."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if cookie:
            headers["Cookie"] = cookie
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.ports[80], timeout=40, source_address=(source, 0)
        )
        try:
            connection.request(method, path, body, headers)
            got = connection.getresponse()
            answer = Answer(got.status, got.headers, got.read())
        finally:
            connection.close()
        names = [name.lower() for name in answer.headers]
        assert set(names) <= HEADERS, names
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert "frame-ancestors" in " ".join(answer.headers.get_all("Content-Security-Policy"))
        if path.startswith("/api/"):
            assert answer.headers["Cache-Control"] == "no-store"
            if answer.status >= 400 and method != "HEAD":
                assert answer.json["error"].isalnum(), answer.text
                assert re.fullmatch(r"[A-Z\w].*[.]", answer.json["reason"]), answer.text
        return answer

    def login(self, pin=PIN, **how):
        answer = self.ask_page("POST", "/api/login", {"pin": pin}, **how)
        assert answer.status == 200 and answer.json == {"ok": True}, answer.text
        return answer.cookie

    def refused(self, status, code, method, path, body=None, **how):
        """Ask, and be refused with this status and code; the answer's members."""
        answer = self.ask_page(method, path, body, **how)
        assert (answer.status, answer.json["error"]) == (status, code), answer.text
        return answer.json

    def skip(self, s):
        """Let seconds pass for the logins."""
        self.ask(f"setattr(charger.clock, 'uptime_s', charger.clock.uptime_s + {s})")

    def live(self):
        """Bytes of heap in use."""
        return self.probe("import gc\ngc.collect()\nresult = gc.mem_alloc()")

    def recorded(self):
        """Wait until what concerns security is in the journal."""
        deadline = time.monotonic() + 5
        while self.ask("len(charger.notes)"):
            assert time.monotonic() < deadline, "it was not recorded"

    def records(self, *kinds):
        """What the page's log says of these kinds, newest first."""
        cookie = self.login()
        self.recorded()
        found = [one for page in self.pages("events", cookie) for one in page]
        assert not [one for one in found if "lost" in one], found
        return [one for one in found if one["kind"] in kinds]

    def pages(self, what, cookie):
        """Yield the lists of sessions or events, page by page."""
        query, before = "", 1 << 30
        while before:
            page = self.ask_page("GET", f"/api/{what}{query}", cookie=cookie).json
            assert len(page[what]) <= 20 and set(page) == {what, "next"}
            yield page[what]
            assert page["next"] is None or 1 < page["next"] < before, "it goes round in circles"
            before = page["next"]
            query = f"?before={before}"

    def charge(self, s2_follows_ms=300):
        """With a car that stops by itself so long after the PWM went away; 0: it does not."""
        self.set_world(s2_follows_ms=s2_follows_ms)
        super().charge()

    def leave(self):
        """The car drives away, with its cable."""
        if self.world["plugged"]:
            self.set_world(car_connected=False, jammed=False)
            self.wait_hardware(lambda h: h["lock"] == "unlocked", 30, "the cable to be released")
            self.set_world(plugged=False)
        self.set_world(car_connected=True, car_state="B", jammed=False, card="")
        self.wait_status(lambda s: s["state"] == "Available" and not s["cable"]["plugged"])


@pytest.fixture(scope="module", params=("board", "packaged"))
def powered(request, tmp_path_factory):
    """One charger for all tests of an interpreter: to start one takes seconds."""
    source, wiring = fit_reader("smartevse_v3")
    flash = image.build_charger(
        tmp_path_factory.mktemp("web") / "flash",
        request.param,
        SETTINGS,
        extra={"firmware/web/page.html.gz": PAGE},
        boards={"smartevse_v3": source},
    )
    heap = os.environ.get("WEB_HEAP", "auto") if request.param == "board" else "auto"
    with Web(request.param, flash, wiring, ports={80: free_port()}, heap=heap) as board:
        board.power_on()
        board.wait_serial("holdfast: running", 15)
        yield board


@pytest.fixture
def web(powered):
    """The charger as after its start, with nobody logged in; no task may have ended in the test."""
    if not powered.powered:
        powered.power_on()
        powered.wait_serial("holdfast: running", 15)
    powered.leave()
    powered.ask("getattr(charger.logins, '__init__')()")
    powered.ask("charger.notes.clear()")
    powered.ask(f"charger.settings.set_many({START!r})")
    place = powered.serial_position
    boots = powered.boots
    powered.trace = []
    yield powered
    powered.trace = None
    assert powered.stderr == ""
    if powered.boots == boots:
        log = powered.console()[-(powered.serial_position - place) or len(powered.console()) :]
        assert "Traceback" not in log and "ended" not in log, log
        assert powered.get()["tasks"] == []


def rows():
    """{path: (who, methods)} of the table in the firmware."""
    source = (ROOT / "firmware" / "web" / "routes.py").read_text()
    table = re.search(r'ROUTES = """\n(.*?)"""', source, re.S)[1]
    return {row.split()[0]: row.split()[1:3] for row in table.splitlines()}


# ---------------------------------------------------------------- who may do what


def test_the_table_is_the_contract():
    table = rows()
    assert {path for path, (who, _) in table.items() if who == "-"} == OPEN
    assert {path: methods for path, (who, methods) in table.items() if who != "-"} == CLOSED


def test_without_a_login_nothing_is_told_and_nothing_happens(web):
    old = web.login()
    assert web.ask_page("POST", "/api/logout", cookie=old).status == 200
    # fits every route, if only somebody let it in
    body = {"installation_limit_a": 6, "uid": "04A2B3C4", "learn": 60, "utc": NOON_UTC}
    before = web.ask(STATE)
    boots = web.boots
    for path, methods in CLOSED.items():
        for method in [*methods.split(","), *["HEAD"] * methods.startswith("GET")]:
            for cookie, query in (
                ("", ""),
                ("", "?before=9&" + old),
                (old, ""),
                ("holdfast=", "?format=csv"),
                ("holdfast=" + "0" * 32, ""),
                (old[:-1], ""),
            ):
                sent = None if method in ("GET", "HEAD") else body
                answer = web.ask_page(method, path + query, sent, cookie=cookie)
                assert answer.status == 401, (method, path, cookie)
                if method != "HEAD":
                    assert answer.json["error"] == "LoginRequired"
        # a PIN in the wrong place is no login either
        answer = web.ask_page("GET", f"{path}?pin={PIN}", Authorization=f"Basic {PIN}")
        assert answer.status in (401, 405), path
    assert web.ask(STATE) == before and web.boots == boots
    assert web.get()["login"] is False


def test_login_and_logout(web):
    assert web.get()["login"] is False and web.get()["setup"] is False
    answer = web.ask_page("POST", "/api/login", {"pin": PIN})
    form = r"holdfast=([0-9a-f]{32}); HttpOnly; SameSite=Strict; Path=/; Max-Age=43200"
    secret = re.fullmatch(form, answer.headers["Set-Cookie"])[1]
    cookie = answer.cookie
    assert web.ask_page("GET", "/api/status", cookie=cookie).json["login"] is True
    assert web.ask_page("GET", "/api/status", cookie="a=b; " + cookie + "; c=d").json["login"]
    assert web.ask_page("GET", "/api/settings", cookie=cookie).status == 200
    other = web.login(source="127.0.0.2")
    assert other != cookie
    # out, and the cookie is worth nothing any more; the other one still is
    answer = web.ask_page("POST", "/api/logout", cookie=cookie)
    assert answer.status == 200 and "holdfast=; " in answer.headers["Set-Cookie"]
    assert answer.headers["Set-Cookie"].endswith("Max-Age=0")
    web.refused(401, "LoginRequired", "GET", "/api/settings", cookie=cookie)
    web.refused(401, "LoginRequired", "POST", "/api/logout", cookie=cookie)
    assert web.ask_page("GET", "/api/keys", cookie=other).status == 200
    # a changed PIN ends all of them, whoever changed it
    third = web.login()
    assert web.ask_page("PUT", "/api/settings", {"pin": "1357"}, cookie=third).status == 200
    for ended in (other, third):
        web.refused(401, "LoginRequired", "GET", "/api/keys", cookie=ended)
    web.refused(401, "IncorrectPin", "POST", "/api/login", {"pin": PIN})
    fourth = web.login("1357")
    web.ask(f'charger.settings.set_many({{"pin": "{PIN}"}})')
    web.refused(401, "LoginRequired", "GET", "/api/keys", cookie=fourth)
    # back to the PIN of an ended login: it stays ended
    fifth = web.login()
    assert web.ask_page("PUT", "/api/settings", {"pin": PIN}, cookie=fifth).status == 200
    web.refused(401, "LoginRequired", "GET", "/api/keys", cookie=fifth)
    codes = [one["code"] for one in web.records("security")]
    assert codes.count("PinChanged") >= 2 and codes.count("LoggedIn") >= 5
    assert all(one["by"] == "Page" for one in web.records("security"))
    assert secret not in web.console()


def test_what_is_no_pin(web):
    for body in ({}, {"pin": ""}, {"pin": 24681357}, {"pin": None}, {"pin": [PIN]}, {"Pin": PIN}):
        web.refused(400, "PinRequired", "POST", "/api/login", body)
    assert web.ask("len(charger.logins.wrong) + len(charger.logins.open)") == 0
    # no part of it, nothing around it
    close = (PIN[:-1], PIN + "0", " " + PIN, PIN + "\0", PIN * 2, PIN[::-1], "\u0662" + PIN[1:])
    for pin in close:
        answer = web.refused(401, "IncorrectPin", "POST", "/api/login", {"pin": pin})
        web.skip(max(1, answer["wait_s"]))
    assert web.ask("len(charger.logins.open)") == 0
    web.login()


def test_a_login_ends(web):
    def good(cookie):
        return web.ask_page("GET", "/api/status", cookie=cookie).json["login"]

    # after half an hour without use; looking at the status is no use
    cookie = web.login()
    for _ in range(3):
        web.skip(1790)
        assert good(cookie) and web.ask_page("GET", "/api/keys", cookie=cookie).status == 200
    web.skip(900)
    assert good(cookie)
    web.skip(905)
    assert not good(cookie)
    web.refused(401, "LoginRequired", "GET", "/api/keys", cookie=cookie)
    assert web.ask("len(charger.logins.open)") == 0
    # after twelve hours at the longest
    cookie = web.login()
    for _ in range(25):
        web.skip(1700)
        assert web.ask_page("GET", "/api/keys", cookie=cookie).status == 200
    web.skip(690)
    assert good(cookie)
    web.skip(60)
    assert not good(cookie)
    # of more than four the one that was idle for longest
    cookies = [web.login() for _ in range(4)]
    web.skip(2)
    for cookie in (cookies[0], cookies[2], cookies[3]):
        assert web.ask_page("GET", "/api/keys", cookie=cookie).status == 200
    fifth = web.login()
    assert [good(cookie) for cookie in cookies] == [True, False, True, True] and good(fifth)
    assert web.ask("len(charger.logins.open)") == 4


# ---------------------------------------------------------------- guessing


def wrong(web, source="127.0.0.1", pin="0000"):
    """A wrong PIN; the answer, which must come at once."""
    began = time.monotonic()
    answer = web.ask_page("POST", "/api/login", {"pin": pin}, source=source)
    assert time.monotonic() - began < 3
    said = answer.json
    assert answer.status in (401, 429) and said["wait_s"] >= 0
    assert answer.headers["Retry-After"] == str(said["wait_s"])
    return answer.status, said["wait_s"]


def test_a_client_that_guesses_is_slowed_and_locked_out(web):
    boss = web.login()
    waits = []
    for n in range(1, 13):
        status, wait_s = wrong(web)
        assert status == 401, n
        waits.append(wait_s)
        if wait_s:
            # Neither a wrong PIN nor the right one is even looked at before that.
            for pin in ("0000", PIN):
                status, left_s = wrong(web, pin=pin)
                assert status == 429 and wait_s - 1 <= left_s <= wait_s, (n, left_s)
            web.skip(wait_s - 2)
            assert wrong(web, pin=PIN)[0] == 429
            web.skip(2)
    assert waits == [0, 0, 2, 4, 8, 16, 32, 64, 128, 900, 900, 900]
    # others are not touched: not who is logged in, nor another address
    assert web.ask_page("GET", "/api/keys", cookie=boss).status in (200, 401)
    web.login(source="127.0.0.2")
    web.login()  # its time is over, and the right PIN wipes the slate
    assert [wrong(web)[1] for _ in range(3)] == [0, 0, 2]
    # it is forgotten after an hour without a wrong one
    web.skip(3600)
    assert [wrong(web)[1] for _ in range(3)] == [0, 0, 2]


def test_guessing_from_many_addresses_makes_everybody_wait_once(web):
    boss = web.login(source="127.0.0.99")
    count = 0
    for n in range(2, 12):
        for _ in range(3):
            count += 1
            status, wait_s = wrong(web, f"127.0.0.{n}")
            assert status == 401
            assert wait_s == (300 if count == 30 else 2 if count % 3 == 0 else 0), count
    assert web.ask("len(charger.logins.wrong)") == 8
    for source in ("127.0.0.2", "127.0.0.99", "127.0.0.200"):
        status, wait_s = wrong(web, source, PIN)
        assert status == 429 and 298 <= wait_s <= 300
    # who is in stays in
    assert web.ask_page("GET", "/api/keys", cookie=boss).status == 200
    assert web.ask_page("POST", "/api/unlock", cookie=boss).status == 200
    web.skip(300)
    web.login(source="127.0.0.200")
    assert wrong(web, "127.0.0.201") == (401, 0)


def test_thirty_wrong_ones_must_come_within_an_hour(web):
    def spread(seconds):
        """Thirty wrong ones from as many addresses, evenly over so long; the last one's wait."""
        web.ask("getattr(charger.logins, '__init__')()")
        for n in range(30):
            status, wait_s = wrong(web, f"127.0.1.{n + 1}")
            assert status == 401 and (n == 29 or wait_s == 0)
            if n < 29:
                web.skip(seconds // 29)
        return wait_s

    assert spread(29 * 125) == 0
    assert spread(29 * 120) == 300


def test_guesses_are_recorded(web):
    newest = web.ask("charger.recorder.journal.last_seq")

    def new():
        found = [r for r in web.records("security") if r["seq"] > newest]
        return [(r["code"], r["count"]) for r in found if r["code"] != "LoggedIn"][::-1]

    for n in range(4):
        wrong(web, f"127.0.2.{n}")
    assert new() == [("LoginFailed", 1), ("LoginFailed", 3)]  # the rest before a right one
    for n in range(3):
        web.skip(61)
        wrong(web, f"127.0.2.{n}")
    assert new()[2:] == [("LoginFailed", 1)] * 3
    # a client that is locked out
    for n in range(10):
        wrong(web, "127.0.3.1")
        web.skip(130)
        if n % 3 == 2:
            web.recorded()
    failed = [count for code, count in new()[5:] if code == "LoginFailed"]
    assert sum(failed) == 10
    assert ("LockedOut", 10) in new()


def test_a_guess_writes_no_flash_while_a_car_charges(web):
    """On a board without a partition of its own a record erases, and that holds up the chip."""
    web.charge()
    time.sleep(0.5)
    deadline = time.monotonic() + 10
    erases = -1
    while erases != (erases := web.hardware()["flash_erases"]):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    for n in range(12):
        wrong(web, f"127.0.4.{n}")
        web.skip(61)
    assert web.hardware()["flash_erases"] == erases
    assert 0 < web.ask("len(charger.notes)") <= 8
    web.set_world(car_state="B")
    web.wait_hardware(lambda h: h["contactor"] == "open", 5, "the contactor to open")
    web.wait_hardware(lambda h: h["flash_erases"] > erases, 5, "the records to be written")
    failed = [one["count"] for one in web.records("security") if one["code"] == "LoginFailed"]
    assert sum(failed[:9]) >= 12


# ---------------------------------------------------------------- pages and names from elsewhere


def test_names_and_pages_from_elsewhere(web):
    cookie = web.login()
    revision = web.ask("charger.settings.revision")
    change = ("PUT", "/api/settings", {"installation_limit_a": 6})
    for host in ("evil.example", "garage-1.evil.example", "garage-10", "127.0.0.1.evil.example"):
        web.refused(421, "MisdirectedRequest", *change, cookie=cookie, Host=host)
        web.refused(421, "MisdirectedRequest", "GET", "/api/status", cookie=cookie, Host=host)
    place = f"127.0.0.1:{web.ports[80]}"
    for origin in ("http://evil.example", "null", "", f"https://{place}", "http://127.0.0.1:1"):
        web.refused(403, "OtherOrigin", *change, cookie=cookie, Origin=origin)
        web.refused(403, "OtherOrigin", "POST", "/api/login", {"pin": PIN}, Origin=origin)
        answer = web.ask_page("POST", "/unlock", f"pin={PIN}", Origin=origin)
        assert answer.status == 403
    assert web.ask("charger.settings.revision") == revision
    assert web.ask("len(charger.logins.open)") == 1
    for host in (NAME, NAME.upper() + ".local", f"{NAME}.local:80", "192.168.4.1", "localhost"):
        answer = web.ask_page(
            "POST",
            "/api/clock",
            {"utc": NOON_UTC},
            cookie=cookie,
            Host=host,
            Origin="http://" + host,
        )
        assert answer.status == 200, host


def test_what_is_no_request_for_this_route(web):
    cookie = web.login()
    put = ("PUT", "/api/settings")
    good = '{"installation_limit_a": 16}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"):
        how = {"cookie": cookie, "Content_Type": kind}
        web.refused(415, "JsonRequired", *put, good, **how)
    for body in ("[]", "1", '"a"', "null", '{"a', "\xff\xfe", "[" * 2048, '{"a":' * 400):
        how = {"cookie": cookie, "Content_Type": "application/json"}
        answer = web.ask_page(*put, body.encode("latin-1"), **how)
        assert answer.status in (400, 503), body[:20]
    web.refused(413, "BodyTooLong", *put, '{"a": "' + "x" * 2042 + '"}', cookie=cookie)
    web.refused(431, "HeadTooLong", *put, good, cookie=cookie, X="y" * 900)
    for path in ("/api/keys", "/api/sessions", "/api/events", "/api/settings"):
        web.refused(405, "MethodNotAllowed", "PATCH", path, cookie=cookie)
    for path in ("/api/sessions", "/api/events"):
        for query in ("before=", "before=x", "before=-1", "before=0", "before=9999999999", "x=1"):
            web.refused(400, "InvalidQuery", "GET", f"{path}?{query}", cookie=cookie)
    for query in ("from=", "from=-1", "from=x", "from=1000000", "from=1%30"):
        web.refused(400, "InvalidQuery", "GET", f"/api/keys?{query}", cookie=cookie)
    for query in ("format=csv%0d%0aSet-Cookie:a=b", "format=json"):
        web.refused(400, "InvalidQuery", "GET", f"/api/sessions?{query}", cookie=cookie)


def test_paths_that_are_none(web):
    cookie = web.login()
    for path in (
        "/settings.json",
        "/keys",
        "/../settings.json",
        "/firmware/web/../../settings.json",
        "/firmware/web/errors.txt",
        "/page.html.gz",
        "/more.js.gz",
        "//settings.json",
        "/%2e%2e/settings.json",
        "/..%2fsettings.json",
        "/api",
        "/api/",
        "/api/../settings.json",
        "/api/status/",
        "/api/Status",
        "/api/status%20",
        "/api/settings.py",
        "/-",
    ):
        web.refused(404, "UnknownAddress", "GET", path, cookie=cookie)
        assert "hush" not in web.ask_page("POST", path, {}, cookie=cookie).text


# ---------------------------------------------------------------- the page and the form


def test_the_page_comes_compressed_and_only_when_it_has_changed(web):
    answer = web.ask_page("GET", "/")
    assert answer.status == 200 and answer.body == PAGE
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    policies = " ".join(answer.headers.get_all("Content-Security-Policy"))
    for part in ("default-src 'none'", "connect-src 'self'", "form-action 'self'", "base-uri"):
        assert part in policies
    mark = answer.headers["ETag"]
    assert re.fullmatch('"[0-9a-f]{16}"', mark)
    again = web.ask_page("GET", "/", If_None_Match=mark)
    assert again.status == 304 and again.body == b"" and again.headers["ETag"] == mark
    for other in ('"0"', mark[:-1], "*", "x" * 300):
        assert web.ask_page("GET", "/", If_None_Match=other).status == 200
    assert web.ask_page("HEAD", "/").headers["ETag"] == mark


def free_by_form(web, body, **how):
    how.setdefault("Content_Type", "application/x-www-form-urlencoded")
    return web.ask_page("POST", "/unlock", body, **how)


def test_the_form_without_javascript(web):
    titles = {}
    for language, said in (
        ("", "Free the cable"),
        ("fr,en;q=0.5", "Free the cable"),
        ("nb-NO,nb;q=0.9,en;q=0.8", "Frigjør kabelen"),
        ("nn", "Frigjør kabelen"),
        ("no", "Frigjør kabelen"),
        ("DE-at,en", "Kabel freigeben"),
        ("fr,de;q=0.9,en", "Kabel freigeben"),
        ("xx" * 200, "Free the cable"),
    ):
        answer = web.ask_page("GET", "/unlock", Accept_Language=language)
        assert answer.status == 200 and f"<title>{said}</title>" in answer.text, language
        assert 'method="post" action="/unlock"' in answer.text and 'name="pin"' in answer.text
        titles[said] = answer.text
    assert len(titles) == 3
    # not with a wrong PIN, and as slow as the other door
    for body in ("", "pin=", "pin=x", "a=b", f"pim={PIN}", "pin=%30"):
        answer = free_by_form(web, body)
        assert answer.status == 400 and "Type the PIN first." in answer.text, body
    for _ in range(3):
        answer = free_by_form(web, "pin=0000", Accept_Language="de")
        assert answer.status == 401 and "Diese PIN ist falsch." in answer.text
    assert "Neuer Versuch in 2 s." in answer.text
    answer = free_by_form(web, f"pin={PIN}")
    assert answer.status == 429 and answer.headers["Retry-After"] in ("1", "2")
    assert "Try again in" in answer.text and web.ask("len(charger.logins.open)") == 0
    web.skip(2)
    # with the right one
    web.charge()
    answer = free_by_form(web, f"pin={PIN}&x=y")
    assert answer.status == 200 and "The cable is free: pull the plug out." in answer.text
    assert "<form" not in answer.text and PIN not in answer.text
    web.set_world(plugged=False)
    # who is in needs it no more
    answer = free_by_form(web, "", cookie=answer.cookie)
    assert answer.status == 200
    shown = web.ask_page("GET", "/unlock", cookie=answer.headers.get("Set-Cookie", ""))
    assert shown.status == 200


@pytest.mark.browser
def test_a_browser_without_javascript_frees_the_cable(web):
    """Whether a form's own post passes for ours is the browser's word: its Origin."""
    if web.interpreter == "board":
        pytest.skip("once is enough")
    web.charge()
    with chromium() as browser:
        page = browser.new_context(java_script_enabled=False, locale="nb-NO").new_page()
        page.goto(f"http://127.0.0.1:{web.ports[80]}/unlock")
        page.get_by_label("PIN").fill("0000")
        page.get_by_role("button", name="Frigjør kabelen").click()
        expect(page.get_by_role("status")).to_have_text("Denne PIN-koden er feil.")
        page.get_by_label("PIN").fill(PIN)
        page.get_by_role("button", name="Frigjør kabelen").click(timeout=30000)
        done = "Kabelen er fri: trekk ut pluggen."
        expect(page.get_by_role("status")).to_have_text(done, timeout=30000)
    web.set_world(plugged=False)


def test_texts_of_the_form_are_there_in_every_language():
    lines = (ROOT / "firmware" / "web" / "form.txt").read_text().splitlines()
    texts = {tuple(line.split(" ", 2)[:2]): line.split(" ", 2)[2] for line in lines}
    assert len(texts) == len(lines)
    codes = {code for _, code in texts}
    assert set(texts) == {(language, code) for language in ("en", "nb", "de") for code in codes}
    assert all("{" not in text or code == "WaitSeconds" for (_, code), text in texts.items())
    sources = "".join(
        (ROOT / "firmware" / "web" / f"{name}.py").read_text()
        for name in ("form", "login", "unlock")
    )
    for code in re.findall(r'"([A-Z][a-z]+[A-Za-z]+)"', sources):
        if code not in ("LoginFailed", "LoggedIn", "LockedOut", "Page"):
            assert code in codes, code


def test_every_error_has_a_sentence():
    lines = (ROOT / "firmware" / "web" / "errors.txt").read_text().splitlines()
    known = [line.split(" ", 1)[0] for line in lines]
    assert len(known) == len(set(known))
    used = set()
    for path in (ROOT / "firmware" / "web").glob("*.py"):
        used |= set(
            re.findall(r'(?:error\(\d+, |_wait\(\d+, |return )"([A-Z]\w+)"', path.read_text())
        )
    # These come with a reason of their own.
    used -= {"BoardRefused", "Setting", "BadKey", "InvalidTime"}
    assert sorted(used) == sorted(known)
    assert all(re.fullmatch(r"\w+ [A-Z].{8,90}\.", line) for line in lines)


# ---------------------------------------------------------------- the routes


def test_settings(web):
    cookie = web.login()
    answer = web.ask_page("GET", "/api/settings", cookie=cookie)
    shown = {row["name"]: row for row in answer.json["settings"]}
    assert list(shown) == [row[0] for row in settings_table.rows()]
    for name, default, allowed, unit, flags, _ in settings_table.rows():
        row = shown[name]
        assert row["unit"] == unit and len(row["meaning"]) > 5
        assert row["restart"] == bool(flags & 2)
        assert row["allowed"] == (list(allowed) if isinstance(allowed, tuple) else allowed)
        if flags & settings_table.SECRET:
            assert set(row) == {"name", "allowed", "unit", "meaning", "restart", "set"}
            assert row["set"] == (name == "pin")
        else:
            assert row["value"] == SETTINGS.get(name, default) and row["default"] == default

    def put(**changes):
        return web.ask_page("PUT", "/api/settings", changes, cookie=cookie)

    assert put(installation_limit_a=13, phases=1).json == {"ok": True, "restart": False}
    web.wait_status(lambda s: s["limit_a"] == 13)
    assert put(tethered=False, console=True, phases=3).json == {"ok": True, "restart": False}
    assert put(watchdog_s=9).json == {"ok": True, "restart": True}
    assert put().json == {"ok": True, "restart": False}
    # Without network and cloud at its start it has not loaded what they take.
    for name, value in (("cloud_host", "a.example"), ("wifi_ssid", "house")):
        assert put(**{name: value}).json == {"ok": True, "restart": True}
        assert put(**{name: ""}).json == {"ok": True, "restart": False}
    revision = web.ask("charger.settings.revision")
    for changes, field in (
        ({"installation_limit_a": 5}, "installation_limit_a"),
        ({"installation_limit_a": 12, "phases": 2}, "phases"),
        ({"phases": 3, "nonsense": 1}, "nonsense"),
        ({"ventilation": 1}, "ventilation"),
        ({"schedule": "Mo-Fr 25:00-06:00"}, "schedule"),
        ({"schedule": 7}, "schedule"),
        ({"timezone": "nowhere"}, "timezone"),
        ({"offline_policy": "schedule"}, "offline_policy"),
        ({"derate_half_c": 90}, "derate_quarter_c"),
        ({"pin": ""}, "pin"),
        ({"pin": "12"}, "pin"),
        ({"pin": "12345678901234"}, "pin"),
        ({"charger_id": "a\r\nSet-Cookie: b"}, "charger_id"),
        ({"wifi_password": "x" * 64}, "wifi_password"),
        ({"__init__": 1}, "__init__"),
    ):
        answer = put(**changes)
        assert answer.status == 400 and answer.json["error"] == "Setting", changes
        assert answer.json["field"] == field and answer.json["reason"].startswith(field), changes
    assert web.ask("charger.settings.revision") == revision
    assert web.ask("charger.settings.installation_limit_a") == 13
    # on flash, without a word from anybody
    deadline = time.monotonic() + 5
    while web.ask("charger.settings.unsaved"):
        assert time.monotonic() < deadline
    assert put(installation_limit_a=16, watchdog_s=8).status == 200
    names = [one["names"] for one in web.records("settings")]
    assert {"installation_limit_a", "phases", "watchdog_s"} <= set(names)


def test_no_secret_ever_comes_out(web):
    cookie = web.login()
    secrets = {name: value for name, value in SECRETS.items() if name != "ap_password"}
    if "ap_password" in SECRETS:
        secrets["ap_password"] = SECRETS["ap_password"]
    web.ask(f"charger.settings.set_many({secrets!r})")
    seen = []

    def look(method, path, body=None):
        answer = web.ask_page(method, path, body, cookie=cookie)
        seen.append(str(answer.headers) + answer.text)
        return answer

    for path, (_, methods) in rows().items():
        if "GET" in methods:
            for method in ("GET", "HEAD"):
                look(method, path)
    look("GET", "/api/sessions?format=csv")
    for name in SECRETS:
        for value in (None, 7, "x" * 999, "\x7f", [SECRETS[name]]):
            assert look("PUT", "/api/settings", {name: value}).status == 400
        assert look("PUT", "/api/settings", {name: SECRETS[name], "phases": 9}).status == 400
        assert look("PUT", "/api/settings", {name: SECRETS[name]}).status == 200
    rows_shown = look("GET", "/api/settings").json["settings"]
    assert all(row["set"] for row in rows_shown if row["name"] in SECRETS)
    web.records("settings")
    look("GET", "/api/events")
    web.type("\x05")  # the status on the console
    web.wait_serial('holdfast: status {"', 5)
    everything = "".join(seen) + web.console()
    for text in (*SECRETS.values(), PIN, cookie.split("=")[1]):
        assert text not in everything, text
    web.ask(f"charger.settings.set_many({dict.fromkeys(SECRETS, '')!r})")
    for name in ("settings.json", "settings.bak", "keys", "journal/00"):
        assert web.ask_page("GET", "/" + name, cookie=cookie).status == 404


def test_keys(web):
    cookie = web.login()

    def keys(query=""):
        return web.ask_page("GET", "/api/keys" + query, cookie=cookie).json

    def post(status=200, method="POST", **key):
        answer = web.ask_page(method, "/api/keys", key, cookie=cookie)
        assert answer.status == status, answer.text
        return answer.json

    assert keys() == {"count": 0, "from": 0, "keys": [], "learning_s": 0, "learned": None}
    kari = {"uid": "04A2B3C4D5E6F7", "label": "Kari Æ", "parent": "kari", "expires": "2030-01-31"}
    post(**{**kari, "uid": "04:a2:b3:c4:d5:e6:f7", "label": "old"})
    post(**kari)  # the same card: in its place
    assert keys()["keys"] == [kari]
    more = [{"uid": f"AABBCC{n:02X}", "label": f"key {n}"} for n in range(22)]
    web.ask(f"[0 for _ in charger.keys.replacing({more!r}, 7)]")
    post(**kari)
    first, rest = keys(), keys("?from=20")
    assert first["count"] == rest["count"] == 23 and rest["from"] == 20
    assert len(first["keys"]) == 20 and len(rest["keys"]) == 3
    assert [k["uid"] for k in first["keys"] + rest["keys"]] == sorted(
        [kari["uid"], *(f"AABBCC{n:02X}" for n in range(22))], key=lambda uid: (len(uid), uid)
    )
    assert first["keys"][0]["expires"] is None and keys("?from=23")["keys"] == []
    for bad, field in (
        ({"uid": "04A2"}, "uid"),
        ({"uid": "04A2B3CX"}, "uid"),
        ({"uid": 4}, "uid"),
        ({}, "uid"),
        ({"uid": "08A2B3C4"}, "uid"),  # a card that makes its number up anew each time
        ({"uid": "04A2B3C4", "label": "x" * 25}, "label"),
        ({"uid": "04A2B3C4", "label": "a\nb"}, "label"),
        ({"uid": "04A2B3C4", "parent": 7}, "parent"),
        ({"uid": "04A2B3C4", "expires": "tomorrow"}, "expires"),
        ({"uid": "04A2B3C4", "expires": "2027-02-29"}, "expires"),
        ({"uid": "04A2B3C4", "more": 1}, "more"),
    ):
        answer = post(400, **bad)
        assert answer["error"] == "BadKey" and answer["field"] == field, bad
    assert post(400, "DELETE", uid="DEADBEEF")["field"] == "uid"
    post(method="DELETE", uid="AABBCC00")
    assert keys()["count"] == 22
    # the next tap is for the page, and charges nothing
    for bad in (-1, 301, 1.5, "60", None, True):
        assert post(400, learn=bad)["error"] == "InvalidSeconds", bad
    post(learn=60)
    assert 58 <= keys()["learning_s"] <= 60
    web.set_world(card="DEADBEEF")
    deadline = time.monotonic() + 5
    while not (page := keys())["learned"]:
        assert time.monotonic() < deadline
    assert page["learned"] == "DEADBEEF" and page["learning_s"] == 0
    web.set_world(card="")
    post(learn=60)
    assert keys()["learned"] is None
    post(learn=0)
    assert keys()["learning_s"] == 0
    reader = "charger.board.reader"
    probe = "import firmware.app\ncharger = firmware.app.charger\n"
    web.probe(f"{probe}main.kept = {reader}\n{reader} = None")
    assert post(409, learn=60)["error"] == "NoCardReader"
    web.probe(f"{probe}{reader} = main.kept")
    # not while a car charges: each change erases flash
    web.charge()
    for method in ("POST", "DELETE"):
        answer = post(409, method, uid="AABBCC01")
        assert answer["error"] == "Charging"
    assert keys()["count"] == 22
    assert web.hardware()["contactor"] == "closed"
    web.leave()
    codes = [one["code"] for one in web.records("security")]
    assert codes.count("KeysChanged") == 4


def write_sessions(web, count, first):
    """Record so many ended sessions, as if they had been."""
    web.probe(
        "import firmware.app\n"
        "append = firmware.app.charger.recorder.append\n"
        f"for n in range({first}, {first + count}):\n"
        "    key = bytes((4, 1, n >> 8, n & 255)) if n % 3 else None\n"
        "    append('session_start', n, n * 100, 'Key' if key else 'Open', key)\n"
        "    append('checkpoint', n, n * 100 + 50, 50, 600, False)\n"
        "    append('fault', 'Rcd', n)\n"
        "    append('session_end', n, n * 100 + 99, 99 + n, 1200, n % 2 == 1, 'EVDisconnected')\n"
    )


def test_sessions_and_events_are_paged_without_gaps(web):
    cookie = web.login()
    old = web.ask_page("GET", "/api/sessions", cookie=cookie).json["sessions"]
    for first in range(1000, 1024, 12):
        write_sessions(web, 12, first)
    web.ask("[charger.recorder.append('fault', 'Rcd', n) for n in range(3000, 3050)]")
    found, pages = [], 0
    for page in web.pages("sessions", cookie):
        found += page
        pages += 1
        write_sessions(web, 1, 2000 + pages)  # meanwhile the charger goes on
    assert pages == (24 + len(old)) // 20 + 1
    mine = [one for one in found if one["session"] >= 1000]
    assert [one["session"] for one in mine] == list(range(1023, 999, -1))
    assert [one["seq"] for one in found] == sorted({one["seq"] for one in found}, reverse=True)
    for one in mine:
        n = one["session"]
        assert one["energy_wh"] == 99 + n and one["duration_s"] == 1200
        assert one["estimated"] == (n % 2 == 1) and one["reason"] == "EVDisconnected"
        assert one["key"] == (f"0401{n:04X}" if n % 3 else None)
        assert one["how"] == ("Key" if n % 3 else "Open") and one["acked"] is False
    # the same as a table
    answer = web.ask_page("GET", "/api/sessions?format=csv", cookie=cookie)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert f"filename={NAME}-sessions.csv" in answer.headers["Content-Disposition"]
    lines = answer.text.split("\r\n")
    assert lines.pop() == ""
    names = lines[0].split(",")
    table = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    assert [row["session"] for row in table[:pages]] == [str(2000 + n) for n in range(pages, 0, -1)]
    for row, one in zip(table[pages:], found, strict=True):
        for name, cell in row.items():
            assert cell == ("" if one[name] is None else str(one[name])), (name, row)
    # somebody who goes away in the middle; then what reads the journal is in nobody's memory
    with socket.create_connection(("127.0.0.1", web.ports[80]), timeout=30) as leaver:
        question = (
            f"GET /api/sessions?format=csv HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n"
        )
        leaver.sendall(question.encode() + b"\r\n")
        assert leaver.recv(1) == b"H"
    deadline = time.monotonic() + 40
    while web.probe("import sys\nresult = 'firmware.journal.cursor' in sys.modules"):
        assert time.monotonic() < deadline, "a listing keeps what it was lent"
    # what is no session, newest first, all of it, and nothing twice
    events = [one for page in web.pages("events", cookie) for one in page]
    seqs = [one["seq"] for one in events]
    assert seqs == sorted(set(seqs), reverse=True)
    kinds = {one["kind"] for one in events}
    assert not any(kind.startswith("session") or kind == "checkpoint" for kind in kinds)
    faults = [one["count"] for one in events if one["kind"] == "fault"]
    assert [n for n in faults if n >= 3000] == list(range(3049, 2999, -1))
    assert [n for n in faults if 1000 <= n < 2000] == list(range(1023, 999, -1))
    assert events[-1]["seq"] == 1 and "boot" in kinds and "security" in kinds


def test_clock(web):
    cookie = web.login()

    def post(utc):
        return web.ask_page("POST", "/api/clock", {"utc": utc}, cookie=cookie)

    assert post(NOON_UTC).json == {"utc": NOON_UTC, "quality": "phone"}
    assert web.get()["clock"]["utc"].startswith("2026-11-23T12:00:0")
    for bad in (None, 7, "", "noon", "2026-11-23", "2026-13-01T00:00:00Z", "1999-01-01T00:00:00Z",
                "2001-01-01T00:00:00Z", "2026-11-23T12:00:00+01:00", [NOON_UTC]):  # fmt: skip
        answer = post(bad)
        assert answer.status == 400 and answer.json["error"] == "InvalidTime", bad
    # a better source is not overruled
    web.ask(f"charger.clock.set({NOON_UNIX_S + 3600}, 'ntp')")
    answer = post(NOON_UTC)
    assert answer.status == 200 and answer.json["quality"] == "ntp"
    assert answer.json["utc"].startswith("2026-11-23T13:00:0")
    web.ask("setattr(charger.clock, 'quality', 'phone')")


def test_the_page_gets_the_status_without_what_it_does_not_show(web):
    web.charge()
    web.wait_status(lambda s: s["state"] == "Charging" and s["session"])
    whole = web.ask_page("GET", "/api/status").json
    brief = web.ask_page("GET", "/api/status?brief")
    assert brief.json.keys() == {
        "id", "state", "reason", "faults", "tap", "notice", "cable", "session", "limit_a",
        "power_w", "contactor", "online", "has_cloud", "clock", "firmware", "boot", "login",
        "setup",
    }  # fmt: skip
    counting = ("session", "clock", "power_w")
    assert all(whole[name] == brief.json[name] for name in brief.json if name not in counting)
    assert web.ask_page("GET", "/api/status?briefly").json.keys() == whole.keys()


def test_start_and_stop(web):
    cookie = web.login()
    web.charge()
    assert web.ask_page("POST", "/api/stop", cookie=cookie).json == {"ok": True}
    web.wait_hardware(lambda h: h["contactor"] == "open", 10, "the contactor to open")
    status = web.wait_status(lambda s: s["reason"]["code"] == "Stopped")
    assert status["state"] == "Finishing" and status["cable"]["locked"]
    assert web.ask_page("POST", "/api/start", {}, cookie=cookie).json == {"ok": True}
    web.wait_hardware(lambda h: h["contactor"] == "closed", 10, "the contactor to close")


# ---------------------------------------------------------------- freeing the cable


def test_the_cable_is_freed_from_the_page(web):
    cookie = web.login()
    web.charge(s2_follows_ms=0)  # it goes on drawing until the contactor opens
    web.wait_status(lambda s: s["state"] == "Charging" and s["session"])
    session = web.get()["session"]["id"]
    with pytest.raises(Exception, match="the lock holds the plug"):
        web.set_world(plugged=False)
    web.trace.clear()
    answer = web.ask_page("POST", "/api/unlock", cookie=cookie)
    assert answer.status == 200 and answer.json == {"locked": False}
    assert web.hardware()["lock"] == "unlocked"
    # The lock has not moved by a thousandth before the contactor was open.
    moved = [contact for contact, permille in web.trace if permille < 1000]
    assert len(moved) > 2 and web.trace[0] == (1, 1000) and not any(moved), web.trace
    web.set_world(plugged=False)
    newest = web.ask_page("GET", "/api/sessions", cookie=cookie).json["sessions"][0]
    assert newest["session"] == session and newest["reason"] == "UnlockCommand"
    deadline = time.monotonic() + 5
    while web.ask("charger.unlock_by"):
        assert time.monotonic() < deadline, "the release was not recorded"
    unlock = web.records("unlock")[0]
    assert unlock["by"] == "Page" and unlock["seq"] > newest["seq"]
    # with nothing plugged in it is open at once, and the next release is not the page's
    assert web.ask_page("POST", "/api/unlock", cookie=cookie).status == 200
    assert web.ask("charger.unlock_by") == ""


def test_a_jammed_lock_is_explained_and_the_retry_works(web):
    if web.interpreter == "board":
        pytest.skip("seconds of waiting that say nothing about the interpreter")
    cookie = web.login()
    web.charge()
    web.set_world(jammed=True)
    answer = web.refused(409, "UnlockFailed", "POST", "/api/unlock", cookie=cookie)
    assert answer["reason"] == (
        "The lock is jammed. Push the plug in while the charger tries again."
    )
    assert web.hardware()["contactor"] == "open" and web.hardware()["lock"] == "locked"
    assert web.get()["faults"] == ["UnlockFailed"]
    # Each request is a try of its own, and a fault of its own: no waiting for the charger's.
    web.refused(409, "UnlockFailed", "POST", "/api/unlock", cookie=cookie)
    assert web.ask("charger.controller.faults.count(5)") == 2
    web.set_world(jammed=False)
    assert web.ask_page("POST", "/api/unlock", cookie=cookie).json == {"locked": False}
    web.set_world(plugged=False)
    assert web.get()["faults"] == []
    assert web.records("unlock")[0]["by"] == "Page"


# ---------------------------------------------------------------- first run, restart


def test_the_first_run(web):
    boss = web.login()
    for change in ({"pin": "1234"}, {"pin": "1234", "settings": {}}, {}):
        web.refused(409, "AlreadySetUp", "POST", "/api/setup", change)
    web.ask('charger.settings.set_many({"pin": ""})')
    status = web.get()
    assert status["setup"] is True and status["login"] is False
    web.refused(409, "NoPin", "POST", "/api/login", {"pin": ""})
    web.refused(409, "NoPin", "POST", "/api/login", {"pin": PIN})
    answer = free_by_form(web, f"pin={PIN}")
    assert answer.status == 409 and "no PIN yet" in answer.text
    for path, methods in CLOSED.items():
        for cookie in ("", boss, "holdfast="):
            for method in methods.split(","):
                web.refused(401, "LoginRequired", method, path, cookie=cookie)
    revision = web.ask("charger.settings.revision")
    for change, field in (
        ({}, "pin"),
        ({"pin": ""}, "pin"),
        ({"pin": "12"}, "pin"),
        ({"pin": None}, "pin"),
        ({"pin": "1234", "settings": {"phases": 2}}, "phases"),
        ({"settings": {"pin": "1234"}}, "pin"),
    ):
        answer = web.refused(400, "Setting", "POST", "/api/setup", change)
        assert answer["field"] == field
    for change in ({"pin": "1234", "settings": []}, {"pin": "1234", "settings": "x"}):
        web.refused(400, "InvalidJson", "POST", "/api/setup", change)
    assert web.ask("charger.settings.revision") == revision and web.get()["setup"]
    change = {"pin": PIN, "settings": {"installation_limit_a": 20, "phases": 1}}
    web.refused(403, "OtherOrigin", "POST", "/api/setup", change, Origin="http://evil.example")
    answer = web.ask_page("POST", "/api/setup", change)
    assert answer.status == 200 and answer.json["ok"] is True
    assert web.ask_page("GET", "/api/status", cookie=answer.cookie).json["login"] is True
    assert web.get()["setup"] is False and web.ask("charger.settings.installation_limit_a") == 20
    web.refused(409, "AlreadySetUp", "POST", "/api/setup", {"pin": "1111"})
    changes = {"installation_limit_a": 16, "phases": 3}
    assert web.ask_page("PUT", "/api/settings", changes, cookie=answer.cookie).status == 200
    web.login()


def test_restart(web):
    cookie = web.login()
    web.charge()
    place, boots = web.serial_position, web.boots
    web.trace.clear()
    assert web.ask_page("POST", "/api/restart", cookie=cookie).json == {"ok": True}
    web.wait_hardware(
        lambda h: web.resets[-1] == "hard" and web.boots == boots + 1, 15, "a restart"
    )
    assert (0, 1000) in web.trace  # the car had stopped, and the contactor opened, before it
    web.wait_serial("holdfast: running", 15, place)
    web.refused(401, "LoginRequired", "GET", "/api/keys", cookie=cookie)
    cookie = web.login()
    newest = web.ask_page("GET", "/api/sessions", cookie=cookie).json["sessions"]
    assert "Reboot" in [one["reason"] for one in newest[:2]]
    assert web.ask_page("GET", "/api/settings", cookie=cookie).status == 200


# ---------------------------------------------------------------- under attack, and short of memory


def test_without_memory_it_says_so_and_charges_on(web):
    if web.interpreter != "board":
        pytest.skip("its heap is not a charger's")
    cookie = web.login()
    web.charge()
    paths = ("/api/status", "/api/settings", "/api/keys", "/api/sessions", "/api/events", "/")
    for path in paths:
        assert web.ask_page("GET", path, cookie=cookie).status == 200
    # Who asks for memory to be given back needs some: the board gives it back by itself.
    web.probe(
        "import asyncio, gc\n"
        "kept = [None] * 400\n"
        "async def release():\n"
        "    await asyncio.sleep_ms(3000)\n"
        "    for i in range(400):\n"
        "        kept[i] = None\n"
        "def fill(left):\n"
        "    asyncio.create_task(release())\n"
        "    gc.collect()\n"
        "    n, i = 65536, 0\n"
        "    while n > 64:\n"
        "        try:\n"
        "            if gc.mem_free() - n < left << 10:\n"
        "                raise MemoryError\n"
        "            kept[i] = bytearray(n)\n"
        "            i += 1\n"
        "        except MemoryError:\n"
        "            n //= 2\n"
        "main.fill = fill\n"
        "main.kept = kept\n"
    )
    counts = {}
    asked = 0
    levels = (16, 12, 9, 7, 5, 5, 4, 4)
    for left in (*levels, *[5] * 8):
        if asked >= len(levels) * len(paths) and counts.get(503):
            break  # else once more: which of the two ends it takes is chance
        asked += len(paths)
        web.probe(f"main.fill({left})")
        for path in paths:
            with contextlib.suppress(OSError, http.client.HTTPException):
                status = web.ask_page("GET", path, cookie=cookie).status
                assert status in (200, 503), path
                counts[status] = counts.get(status, 0) + 1
        web.wait_status(lambda status: status["heap_free"] > 17 << 10)
        assert not web.probe("result = [one for one in main.kept if one]")
    print(web.interpreter, counts)
    # It was too short several times, and that was said; where there is nothing left even for a
    # refusal, the connection just ends.
    assert asked - counts[200] > 3 and counts.get(503) and counts[200] > 3, counts
    for path in paths:
        assert web.ask_page("GET", path, cookie=cookie).status == 200
    assert web.hardware()["contactor"] == "closed"


def test_who_asks_need_not_ask_again_for_want_of_memory(web):
    """A read is done anew, a change as long as nothing of it has been done; no change twice."""
    cookie = web.login()
    its = "import firmware.app\ncharger = firmware.app.charger\n"
    web.probe(
        "calls = []\n"
        "def short(of, name, times):\n"
        "    calls.clear()\n"
        "    real = getattr(of, name)\n"
        "    def call(*given):\n"
        "        calls.append(name)\n"
        "        if len(calls) <= times:\n"
        "            raise MemoryError\n"
        "        return real(*given)\n"
        "    setattr(of, name, call)\n"
        "main.short = short\n"
        "main.calls = calls\n"
    )

    def ask(of, name, times, *what):
        web.probe(its + f"main.short({of}, {name!r}, {times})")
        try:
            return web.ask_page(*what, cookie=cookie), web.probe("result = len(main.calls)")
        finally:
            web.probe(its + f"delattr({of}, {name!r})")

    settings = "charger.settings"
    answer, calls = ask(settings, "describe", 4, "GET", "/api/settings")
    assert answer.status == 200 and answer.json["settings"] and calls == 5
    answer, calls = ask(settings, "describe", 9, "GET", "/api/settings")
    assert answer.status == 503 and calls == 5
    answer, calls = ask(settings, "set_many", 9, "PUT", "/api/settings", {"mains_v": 222})
    assert answer.json == {"ok": True, "restart": False} and calls == 10
    assert web.ask("charger.settings.mains_v") == 222
    answer, calls = ask(settings, "set_many", 99, "PUT", "/api/settings", {"mains_v": 223})
    assert answer.status == 503 and web.ask("charger.settings.mains_v") == 222
    assert web.ask_page("PUT", "/api/settings", {"mains_v": 230}, cookie=cookie).status == 200
    answer, calls = ask("charger.access", "start", 1, "POST", "/api/start")
    assert answer.status == 503 and calls == 1


GOOD = (
    b"GET / HTTP/1.1\r\nHost: %(host)s\r\n\r\n",
    b"GET /unlock HTTP/1.1\r\nHost: %(host)s\r\nAccept-Language: nb\r\n\r\n",
    b"GET /api/status HTTP/1.1\r\nHost: %(host)s\r\nCookie: %(cookie)s\r\n\r\n",
    b"HEAD /api/settings HTTP/1.1\r\nHost: %(host)s\r\nCookie: %(cookie)s\r\n\r\n",
    b"GET /api/keys?from=0 HTTP/1.1\r\nHost: %(host)s\r\nCookie: %(cookie)s\r\n\r\n",
    b"GET /api/sessions?before=9 HTTP/1.1\r\nHost: %(host)s\r\nCookie: %(cookie)s\r\n\r\n",
    b"GET /api/events?before=9 HTTP/1.1\r\nHost: %(host)s\r\nCookie: %(cookie)s\r\n\r\n",
    b"PUT /api/settings HTTP/1.1\r\nHost: %(host)s\r\nCookie: %(cookie)s\r\n"
    b'Content-Type: application/json\r\nContent-Length: 17\r\n\r\n{"mains_v": 2300}',
    b"POST /api/keys HTTP/1.1\r\nHost: %(host)s\r\nCookie: %(cookie)s\r\n"
    b'Content-Type: application/json\r\nContent-Length: 19\r\n\r\n{"uid": "04A2B3C4"}',
    b"POST /api/login HTTP/1.1\r\nHost: %(host)s\r\nOrigin: http://%(host)s\r\n"
    b'Content-Type: application/json\r\nContent-Length: 15\r\n\r\n{"pin": "12345"}',
    b"POST /unlock HTTP/1.1\r\nHost: %(host)s\r\nContent-Length: 8\r\n\r\npin=1234",
    b"POST /api/unlock HTTP/1.1\r\nHost: %(host)s\r\nContent-Length: 0\r\n\r\n",
    b"DELETE /api/keys HTTP/1.1\r\nHost: %(host)s\r\n\r\n",
)
PIECES = (
    b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\t", b"?", b"%2e%2e/", b"../", b"HTTP/1.1", b"{",
    b"HEAD ", b"Host: y\r\n", b"Content-Length: 99999999999999999999\r\n", b"[" * 99, b'"', b"}",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"X: y\r\n", b"\xc3", b"\r\n\r\n",
    b"Cookie: holdfast=", b"POST ", b"Origin: null\r\n", b"&pin=", b"before=", b"\xf0\x9f\x94\x8c",
)  # fmt: skip


def made_up(draw, host, cookie):
    """A request that nobody would send, most often a good one with a few wounds."""
    if draw.randrange(20) == 0:
        return draw.randbytes(draw.randrange(300))
    data = draw.choice(GOOD) % {b"host": host, b"cookie": cookie if draw.randrange(3) else b""}
    for _ in range(draw.randrange(1, 5)):
        at = draw.randrange(len(data) + 1)
        what = draw.randrange(5)
        if what == 0:
            data = data[:at] + draw.randbytes(1) + data[at + 1 :]
        elif what == 1:
            data = data[:at] + data[at + draw.randrange(1, 9) :]
        elif what == 2:
            data = data[:at] + draw.choice(PIECES) + data[at:]
        elif what == 3:
            end = at + draw.randrange(40)
            data = data[:end] + data[at:end] * draw.randrange(1, 4) + data[end:]
        else:
            data = data[:at] + bytes([draw.randrange(33, 127)]) * draw.randrange(900) + data[at:]
    return data


def whole(answer):
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    return end and length and len(body) >= int(length[1])


def send(web, data):
    """The status that the bytes are answered with, 0 without an answer."""
    try:
        with socket.create_connection(("127.0.0.1", web.ports[80]), timeout=30) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            answer = b""
            while not whole(answer) and (more := s.recv(65536)):
                answer += more
    except TimeoutError:
        raise
    except OSError:
        return 0  # it was turned away
    if not answer:
        return 0
    head, end, _ = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert end and re.fullmatch(r"HTTP/1\.1 \d\d\d ", first), (data, answer)
    names = [line.partition(":")[0].lower() for line in lines]
    assert set(names) <= HEADERS, (data, answer)
    assert PIN.encode() not in answer and b"hush" not in answer
    return int(first[9:12])


FUZZED = {0, 200, 302, 304, 400, 401, 403, 404, 405, 409, 411, 413, 415, 421, 429, 431, 503}


def visits(web, requests):
    """Send them, three at a time, and count the answers by status."""
    counts = {}
    waiting = iter(requests)
    lock = threading.Lock()

    def visit():
        while True:
            with lock:
                data = next(waiting, None)
            if data is None:
                return
            status = send(web, data)
            assert status in FUZZED, (status, data)
            with lock:
                counts[status] = counts.get(status, 0) + 1

    with futures.ThreadPoolExecutor(3) as pool:
        for visitor in [pool.submit(visit) for _ in range(3)]:
            visitor.result()
    return counts


def fuzz(web, rounds):
    """So many made-up requests while a car charges, half of them with a login."""
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    print("seed:", seed)
    draw = random.Random(seed)
    host = f"127.0.0.1:{web.ports[80]}".encode()
    web.charge()
    web.trace.clear()
    cookie = web.login(source="127.0.0.9")
    state = "[charger.controller.session.id, charger.controller.session.active, charger.keys.count]"
    before = web.ask(state)
    # What is there once every kind of answer has been given is there for good.
    visits(web, [data % {b"host": host, b"cookie": cookie.encode()} for data in GOOD])
    visits(web, [made_up(draw, host, cookie.encode()) for _ in range(100)])
    used = max(web.live() for _ in range(9))
    began = time.monotonic()
    counts = visits(web, [made_up(draw, host, cookie.encode()) for _ in range(rounds)])
    print(web.interpreter, rounds, "in", round(time.monotonic() - began, 1), "s:", counts)
    web.wait_hardware(lambda h: h["contactor"] == "closed", 15, "the car to charge")
    assert web.ask(state) == before
    # On a machine that is too busy for ticks the board itself opens, for a moment.
    assert all(contact for contact, _ in web.trace) or web.ask("charger.dead_man_count")
    assert web.ask_page("GET", "/api/keys", cookie=cookie).status == 200
    deadline = time.monotonic() + 5
    # Stale words on the stack keep some garbage; a leak would keep a block of 16 for each request.
    while (grown := web.live() - used) >= 8192:
        assert time.monotonic() < deadline, f"the heap has grown by {grown} bytes"
    print("heap grown by", grown)


def test_fuzzed_requests(web):
    fuzz(web, 1000)


@pytest.mark.soak
def test_a_welded_contactor_keeps_the_cable(interpreter, tmp_path):
    """On a board that can tell: the makers' own boards have no feedback of the contactor."""
    wiring = ROOT / "tests" / "device" / "sweep_board.py"
    extra = {"firmware/board/sweep_board.py": wiring.read_bytes()}
    settings = {**SETTINGS, "board": "sweep_board"}
    flash = image.build_charger(tmp_path / "flash", interpreter.name, settings, extra)
    with Web(interpreter.name, flash, wiring, ports={80: free_port()}) as web:
        web.power_on()
        web.wait_serial("holdfast: running", 15)
        cookie = web.login()
        web.charge()
        web.set_world(welded=True)
        answer = web.refused(409, "Welded", "POST", "/api/unlock", cookie=cookie)
        assert answer["reason"].startswith("The contactor did not open. Do not touch the plug")
        assert web.hardware()["lock"] == "locked"
        web.set_world(welded=False)
        web.wait_hardware(lambda h: h["lock"] == "unlocked", 30, "the cable to be released")
        web.set_world(plugged=False)


@pytest.mark.soak
def test_fuzzed_requests_for_long(web):
    fuzz(web, 10000)
