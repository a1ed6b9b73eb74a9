"""The web server over real sockets: good, bad, slow and too many clients; a 16 ms tick goes on."""

import asyncio
import json
import sys

from journal_flash import Nor
from web_wire import page, parsed

from firmware import clock, ticks
from firmware.access.authorization import Authorization
from firmware.charging.controller import ChargingConfig, Controller
from firmware.charging.limits import Derating, Limits
from firmware.charging.signals import Capabilities, Outputs, Permit, Readings
from firmware.journal.journal import Journal
from firmware.journal.raw_store import RawStore
from firmware.recorder import Recorder
from firmware.settings import Settings
from firmware.supervisor import Supervisor
from firmware.web.routes import application
from firmware.web.server import Server

PORT = int(sys.argv[1])
longest_gap_ms = 0


class Keys:
    count = 0
    notice = None


class Board:
    reader = None


class Rooms:
    """A charger without hardware, with everything that the web room reads of it."""

    def __init__(self):
        self.id = "test-1"
        self.settings = Settings()
        self.clock = clock.Clock(3, clock.now_ms())
        self.readings = Readings()
        self.refusal = self.uplink = self.station = None
        self.board = Board()
        self.keys = Keys()
        self.permit = Permit(True, "PermitOpen")
        self.access = Authorization(lambda most: 0)
        self.recorder = Recorder(self, Journal(RawStore(Nor(4096, 8))))
        self.supervisor = Supervisor()
        limits = Limits(16000, Derating(65, 68, 71, 62))
        self.controller = Controller(Capabilities(), ChargingConfig(), limits)

    def contactor_closed(self):
        return False

    dead_man_count = 0

    def take_longest_gap_ms(self):
        return 17


async def exchange(data, wait_ms=3000):
    """Send bytes, return everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    try:
        writer.write(data)
        await writer.drain()
        return await asyncio.wait_for_ms(reader.read(), wait_ms)
    except OSError:
        return b"reset"
    finally:
        await writer.wait_closed()


async def get(path, method="GET"):
    data = "{} {} HTTP/1.1\r\nHost: test-1\r\n\r\n".format(method, path).encode()
    return parsed(await exchange(data), method == "HEAD")


async def contract(charger):
    status, headers, body = await get("/api/status")
    assert status == 200 and headers["content-type"] == "application/json"
    s = json.loads(body)
    wanted = (
        "id state pilot reason cable session limit_a online offline_since_s policy faults clock"
        " journal firmware"
    )
    for name in wanted.split():
        assert name in s, name
    assert s["id"] == "test-1" and s["session"] is None and s["online"] is False
    assert s["state"] == "Unavailable" and s["reason"]["code"] == "Starting"
    assert s["reason"]["text"] == "The charger is starting."
    assert set(s["cable"]) == {"plugged", "locked", "rating_a"}
    assert s["clock"] == {"utc": None, "quality": "unknown"}
    assert s["journal"]["pending"] == 0 and s["journal"]["capacity"] > 500
    assert s["policy"] == "open" and s["faults"] == [] and s["limit_a"] == 16

    # a car that charges
    readings, outputs = charger.readings, Outputs()
    readings.pilot_high_mv, readings.pilot_low_mv = 9000, 9000
    now = 0
    for _ in range(400):
        charger.controller.step(readings, charger.permit, now, outputs)
        now += 16
        readings.pilot_low_mv = -12000 if outputs.pilot == 1 else readings.pilot_high_mv
    readings.meter_wh += 250
    charger.controller.step(readings, charger.permit, now, outputs)
    charger.clock.advance(ticks.add(clock.now_ms(), 7000))
    charger.clock.set(1795411320, "phone")
    s = json.loads((await get("/api/status"))[2])
    session = s["session"]
    assert set(session) >= {"id", "energy_wh", "duration_s", "started_at", "key"}, session
    assert session["id"] == 1 and session["key"] is None and session["energy_wh"] == 250
    assert session["started_at"].startswith("2026-11-23T05:2"), session
    assert s["cable"]["plugged"] and s["clock"]["quality"] == "phone"

    status, headers, body = await get("/")
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8"
    assert body == page() and headers["content-encoding"] == "gzip"
    status, _, body = await get("/api/status", "HEAD")
    assert status == 200 and not body


async def refusals():
    """What is refused arrives, although the peer has more to say."""
    for data, status in (
        (b"hello\r\n\r\n", 400),
        (b"GET /nowhere HTTP/1.1\r\nHost: test-1\r\n\r\n", 404),
        (b"POST /api/status HTTP/1.0\r\n\r\n", 405),
        (b"POST /api/unlock HTTP/1.0\r\n\r\n", 401),
        (b"POST / HTTP/1.1\r\nHost: test-1\r\nContent-Length: 4000\r\n\r\n" + b"x" * 4000, 413),
        (b"GET /" + b"x" * 6000, 431),
        (b"GET / HTTP/1.0\r\n\r\n" + b"GET / HTTP/1.0\r\n\r\n" * 50, 200),
    ):
        got, _, body = parsed(await exchange(data))
        assert got == status, (data[:60], got)
        assert status == 200 or json.loads(body)["reason"].endswith("."), body
    # a body in pieces
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    for piece in (b"POST /api/st", b"atus HTTP/1.0\r", b"\nContent-Length: 4\r\n\r\nab", b"cd"):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep_ms(20)
    assert parsed(await reader.read())[0] == 405
    await writer.wait_closed()


dropped = 0
leaving = False


async def loris(n):
    """A client that never gets to the end of its request, and comes back when it is dropped."""
    global dropped
    while not leaving:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        except OSError:
            await asyncio.sleep_ms(10)
            continue
        try:
            writer.write(b"GET / HTTP/1.1\r\nX: ")
            while not leaving:
                await writer.drain()
                await asyncio.sleep_ms(40 + n)
                writer.write(b"y")
        except OSError:
            dropped += 1
        finally:
            await writer.wait_closed()


async def crowd(server):
    """Twenty slow clients, and a driver who is answered all the same."""
    global longest_gap_ms, leaving
    slow = [asyncio.create_task(loris(n)) for n in range(20)]
    while dropped < 20:
        await asyncio.sleep_ms(10)
    times = []
    missed = 0
    longest_gap_ms = 0
    for _ in range(30):
        start = clock.now_ms()
        while True:
            answer = await exchange(b"GET /api/status HTTP/1.0\r\n\r\n", 5000)
            assert len(server._open) <= 4
            if answer not in (b"", b"reset"):
                break
            missed += 1
        assert parsed(answer)[0] == 200
        times.append(ticks.diff(clock.now_ms(), start))
        await asyncio.sleep_ms(20)
    times.sort()
    print("slow-loris: answered within", times[15], times[-1], "ms,", missed, "missed")
    print("slow-loris: longest gap", longest_gap_ms)
    # A connect that finds the port's short queue full is repeated by the system after a second.
    assert times[20] < 300 and times[-1] < 5000 and missed < 6, times
    leaving = True
    for one in slow:
        await one
    start = clock.now_ms()
    while server._open:
        assert ticks.diff(clock.now_ms(), start) < 2000
        await asyncio.sleep_ms(10)


async def killed(charger):
    """A killed web task closes its connections and serves again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"GET /")
    await writer.drain()
    await asyncio.sleep_ms(100)
    charger.supervisor.kill("web")
    try:
        assert await reader.read() == b""
    except OSError:
        pass
    await writer.wait_closed()
    start = clock.now_ms()
    while True:
        try:
            answer = await exchange(b"GET / HTTP/1.0\r\n\r\n")
            assert parsed(answer)[0] == 200
            break
        except (OSError, AssertionError):
            assert ticks.diff(clock.now_ms(), start) < 5000
            await asyncio.sleep_ms(50)
    assert charger.supervisor.report()[0]["restarts"] == 1
    assert "Cancelled" in charger.supervisor.report()[0]["why"]


async def ticking():
    global longest_gap_ms
    last = clock.now_ms()
    while True:
        await asyncio.sleep_ms(16)
        now = clock.now_ms()
        longest_gap_ms = max(longest_gap_ms, ticks.diff(now, last))
        last = now


async def main():
    charger = Rooms()
    server = Server(application(charger), PORT)
    charger.supervisor.add("web", server.run)
    running = asyncio.create_task(charger.supervisor.run())
    asyncio.create_task(ticking())
    while not charger.supervisor.ready:
        await asyncio.sleep_ms(20)
    await contract(charger)
    await refusals()
    await crowd(server)
    await killed(charger)
    running.cancel()


asyncio.run(main())
print("ok", longest_gap_ms)
