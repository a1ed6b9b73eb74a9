"""A connection in memory for the web server: what comes in, cut where a test wants it."""

import asyncio

from firmware.web import server
from firmware.web.server import Server

SERVED = (200, 201, 302, 400, 401, 403, 404, 405, 411, 413, 415, 421, 431)


def page():
    """The built page that is beside the firmware."""
    with open(server.__file__[: server.__file__.rindex("/")] + "/page.html.gz", "rb") as file:
        return file.read()


class Rooms:
    """As much of a charger as the server's own rules need."""

    id = "x"
    refusal = None

    def __init__(self):
        self.settings = self.clock = self
        self.pin = ""
        self.visits = []
        self.uptime_s = 0


class Wire:
    """A stream that gives the pieces one by one, then the end; or, `hangs`, nothing more."""

    def __init__(self, pieces, hangs=False, stalls=False):
        self.pieces = list(pieces)
        self.hangs = hangs
        self.stalls = stalls  # the peer takes nothing
        self.sent = bytearray()
        self.closed = False
        self.s = Rest(self)

    def get_extra_info(self, name):
        return ("192.168.4.2", 40000)

    async def read(self, n):
        assert 0 < n <= 2048
        while self.pieces and not self.pieces[0]:
            self.pieces.pop(0)
        if not self.pieces:
            while self.hangs:
                await asyncio.sleep_ms(10)
            return b""
        piece = self.pieces[0]
        self.pieces[0] = piece[n:]
        return piece[:n]

    async def readinto(self, buffer):
        piece = await self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def write(self, data):
        assert len(data) < 1200, "a piece is too long for one step of the loop"
        self.sent += data

    async def drain(self):
        while self.stalls:
            await asyncio.sleep_ms(10)

    async def wait_closed(self):
        self.closed = True


class Rest:
    """What a socket gives at once of bytes that nobody asked for."""

    def __init__(self, wire):
        self.wire = wire

    def readinto(self, buffer):
        if not self.wire.pieces:
            return None
        return len(self.wire.pieces.pop(0))


async def ask(application, pieces):
    """The answer to one connection's bytes, after which the server must be empty."""
    server = Server(application, 0)
    wire = Wire(pieces)
    await server._serve(wire, wire)
    assert wire.closed and not server._open
    return bytes(wire.sent)


def parsed(answer, bodiless=False):
    """(status, {header: value}, body) of a well-formed answer; AssertionError for any other."""
    end = answer.find(b"\r\n\r\n")
    assert end > 0, answer
    lines = answer[:end].decode().split("\r\n")
    body = answer[end + 4 :]
    assert lines[0].startswith("HTTP/1.1 ") and lines[0][12:] == " ", lines[0]
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(": ")
        name = name.lower()
        # Of several policies all are in force (W3C, Content Security Policy Level 3).
        assert colon and (name not in headers or name == "content-security-policy"), line
        headers[name] = headers.get(name, "") + value
    assert headers["connection"] == "close" and headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] in ("no-store", "no-cache") and headers["content-type"]
    assert "frame-ancestors http://127.0.0.1:* " in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY" and headers["referrer-policy"] == "same-origin"
    if bodiless:
        assert not body
    elif "content-length" in headers:
        assert len(body) == int(headers["content-length"]), answer
    elif "transfer-encoding" in headers:
        body = unchunked(body)
    return int(lines[0][9:12]), headers, body


def unchunked(data):
    """The body whose chunks are `data`, to the last."""
    body = b""
    while True:
        end = data.find(b"\r\n")
        assert end > 0, data
        size = int(data[:end], 16)
        assert data[end + 2 + size : end + 4 + size] == b"\r\n", data
        body += data[end + 2 : end + 2 + size]
        data = data[end + 4 + size :]
        if size == 0:
            assert not data, data
            return body
