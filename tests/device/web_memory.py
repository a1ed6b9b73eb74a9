"""What one request for the page, for the status and with the longest body keeps at its worst.

Prints "name bytes" a line: what is alive between the first byte and the last, whenever the server
waits or writes; of the status its pieces, and not what its stand-in makes them of.
"""

import asyncio
import gc
import sys

from web_rooms import odd
from web_wire import Rooms, Wire

from firmware.web import routes
from firmware.web.server import Server

most = base = 0


class Made:
    """Stands for the module firmware.status."""

    @staticmethod
    def pieces(charger, more, brief):
        return [b"x" * 375 for _ in range(4)]


BROWSER = (
    b"Host: 192.168.4.1\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n"
    b"Upgrade-Insecure-Requests: 1\r\nUser-Agent: "
    + b"M" * 130
    + b"\r\nAccept: "
    + b"t" * 140
    + b"\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: nb,en;q=0.9\r\n"
    b"Cookie: holdfast=0123456789abcdef0123456789abcdef\r\n"
)


class Scale(Wire):
    def weigh(self):
        global most
        gc.collect()
        most = max(most, gc.mem_alloc() - base)

    async def read(self, n):
        self.weigh()
        return await super().read(n)

    def write(self, data):
        self.weigh()

    async def drain(self):
        self.weigh()


async def taken(charger, request):
    return 200, "text/plain", "", ""


async def main():
    global most, base
    routes.ROUTES += "/body - PUT odd\n"
    sys.modules["firmware.status"] = Made
    server = Server(routes.application(Rooms()), 0)
    for name, line in (
        ("page", b"GET / HTTP/1.1\r\n"),
        ("status", b"GET /api/status HTTP/1.1\r\n"),
        ("body", b"PUT /body HTTP/1.1\r\nContent-Length: 2048\r\n"),
    ):
        if name == "body":
            routes.ROOM = "web_rooms."
            odd.put = taken
        data = line + BROWSER + b"\r\n" + (b"x" * 2048 if name == "body" else b"")
        pieces = [data[at : at + 500] for at in range(0, len(data), 500)]
        worst = 0
        for _ in range(3):
            wire = Scale(pieces)
            gc.collect()
            base = gc.mem_alloc()
            most = 0
            await server._serve(wire, wire)
            assert not server._open
            worst = max(worst, most)
        print(name, worst)


asyncio.run(main())
