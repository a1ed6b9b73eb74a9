"""The web server against good, bad, slow and too many clients; nothing may hold up a 16 ms tick."""

import asyncio
import json
import sys

from firmware import clock, ticks
from firmware.charging.controller import ChargingConfig, Controller
from firmware.charging.limits import Derating, Limits
from firmware.charging.signals import Capabilities, Outputs, Readings
from firmware.settings import Settings
from firmware.supervisor import Supervisor
from firmware.web.routes import application
from firmware.web.server import Server

PORT = int(sys.argv[1])
longest_gap_ms = 0


class Rooms:
    """A charger without a board, with everything that the web room reads of it."""

    def __init__(self):
        self.id = "test-1"
        self.settings = Settings()
        self.clock = clock.Clock(3, clock.now_ms())
        self.readings = Readings()
        self.refusal = None
        self.supervisor = Supervisor()
        limits = Limits(16000, Derating(65, 68, 71, 62))
        self.controller = Controller(Capabilities(), ChargingConfig(), limits)

    def contactor_closed(self):
        return False

    dead_man_count = 0

    def take_longest_gap_ms(self):
        return 17


class Permit:
    allowed = True
    reason = ""


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


async def get(path, method="GET", extra=""):
    answer = await exchange(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode())
    head, _, body = (
        answer.partition(b"\r\n\r\n") if hasattr(answer, "partition") else (answer, 0, 0)
    )
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), head.decode(), body


async def expect_error(data, status):
    answer = await exchange(data)
    assert answer.startswith(b"HTTP/1.0 %d " % status), (data[:60], answer)
    body = answer[answer.index(b"\r\n\r\n") + 4 :]
    assert json.loads(body)["error"].endswith("."), body


async def contract(charger):
    status, head, body = await get("/api/status")
    assert status == 200 and "application/json" in head and "no-store" in head, head
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
    assert s["journal"] == {"pending": 0, "capacity": 0}
    assert s["policy"] == "open" and s["faults"] == [] and s["limit_a"] == 16

    # a car that charges
    readings, outputs = charger.readings, Outputs()
    readings.pilot_high_mv, readings.pilot_low_mv = 9000, 9000
    now = 0
    for _ in range(400):
        charger.controller.step(readings, Permit, now, outputs)
        now += 16
        readings.pilot_low_mv = -12000 if outputs.pilot == 1 else readings.pilot_high_mv
    readings.meter_wh += 250
    charger.controller.step(readings, Permit, now, outputs)
    charger.clock.advance(ticks.add(clock.now_ms(), 7000))
    charger.clock.set(1795411320, "phone")
    s = json.loads((await get("/api/status"))[2])
    session = s["session"]
    assert set(session) >= {"id", "energy_wh", "duration_s", "started_at", "key"}, session
    assert session["id"] == 1 and session["key"] is None and session["energy_wh"] == 250
    assert session["started_at"].startswith("2026-11-23T05:2"), session
    assert s["cable"]["plugged"] and s["clock"]["quality"] == "phone"

    status, head, body = await get("/")
    assert status == 200 and "text/html" in head and b"</html>" in body
    assert b"http://" not in body and b"https://" not in body  # nothing from elsewhere
    status, _, body = await get("/api/status", "HEAD")
    assert status == 200 and not body


async def refusals():
    await expect_error(b"GET /nowhere HTTP/1.1\r\n\r\n", 404)
    await expect_error(b"GET /api/nowhere HTTP/1.1\r\n\r\n", 404)
    await expect_error(b"POST /api/status HTTP/1.1\r\n\r\n", 405)
    await expect_error(b"DELETE / HTTP/1.0\r\n\r\n", 405)
    await expect_error(b"hello\r\n\r\n", 400)
    await expect_error(b"\r\n\r\n", 400)
    await expect_error(b"GET / SPDY/3\r\n\r\n", 400)
    await expect_error(b"GET /\xff\xfe HTTP/1.1\r\n\r\n", 400)
    await expect_error(b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400)
    await expect_error(b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400)
    await expect_error(b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400)
    await expect_error(b"GET / HTTP/1.1\r\nContent-Length: 2049\r\n\r\n", 413)
    await expect_error(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411)
    await expect_error(b"GET /" + b"x" * 1500 + b" HTTP/1.1\r\n\r\n", 431)
    # a browser's many headers are fine, endless ones are not
    some = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 90) for i in range(40))
    assert (await exchange(b"GET / HTTP/1.1\r\n" + some + b"\r\n")).startswith(b"HTTP/1.0 200 OK")
    answer = await exchange(b"GET / HTTP/1.1\r\n" + some * 8)
    assert answer == b"reset" or answer.startswith(b"HTTP/1.0 431"), answer
    # a body in pieces
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    for piece in (b"POST /api/st", b"atus HTTP/1.1\r", b"\nContent-Length: 4\r\n\r\nab", b"cd"):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep_ms(20)
    assert (await reader.read()).startswith(b"HTTP/1.0 405")
    await writer.wait_closed()


async def crowd(server):
    """Five silent clients: the fifth is turned away, the four are dropped at their deadline."""
    start = clock.now_ms()
    clients = []
    for _ in range(4):
        clients.append(await asyncio.open_connection("127.0.0.1", PORT))
        clients[-1][1].write(b"GET / HT")
        await clients[-1][1].drain()
    while len(server._open) < 4:
        await asyncio.sleep_ms(10)
    assert await exchange(b"") in (b"", b"reset")
    assert len(server._open) == 4
    for reader, writer in clients:
        try:
            assert await asyncio.wait_for_ms(reader.read(), 12000) == b""
        except OSError:
            pass
        await writer.wait_closed()
    took_ms = ticks.diff(clock.now_ms(), start)
    assert 7500 < took_ms < 11000, took_ms
    assert (await get("/"))[0] == 200


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
            assert (await get("/"))[0] == 200
            break
        except (OSError, IndexError):
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
