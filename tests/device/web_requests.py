"""Requests in memory: whole, cut at every byte, ended at every byte, malformed and made up."""

import asyncio
import gc
import json
import random
import sys

from web_rooms import odd
from web_wire import SERVED, Rooms, Wire, ask, page, parsed

from firmware import clock
from firmware.web import routes, server
from firmware.web.server import Server

SEED = int(sys.argv[1])
ROUNDS = int(sys.argv[2])

skipped_ms = 0
now_ms = clock.now_ms


class Hurried:
    """asyncio for the server without the pause after a refused request."""

    current_task = asyncio.current_task

    @staticmethod
    async def sleep_ms(_):
        pass


routes.ROOM = "web_rooms."
routes.ROUTES = """
/ - GET page
/echo - GET,POST,PUT odd
/long - GET odd
/fails - GET odd
/starves - GET odd
/breaks - GET odd
/waits - GET odd
/login + GET,POST odd
/api/echo - POST echo
/api/put - PUT odd
/visit - GET,POST visit
"""
charger = Rooms()
application = routes.application(charger)

GOOD = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /echo?after=7&format=csv HTTP/1.0\r\nUser-Agent: a:b\tc\r\n\r\n",
    b"GET /echo HTTP/1.1\nHOST:x\ncookie:  a=12; holdfast=b\xc3\xa6 \nOrigin:\n\n",
    b"POST /echo? HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Content-Length: 13\r\nX: y\r\n\r\n{"pin":"123"}',
    b"POST /visit HTTP/1.1\r\nHost: x\r\ncontent-length:4\r\n\r\nab\r\n",
    b"GET /visit?9 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /visit?3 HTTP/1.0\r\n\r\n",
    b"DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
)

H = b"Host: x\r\n"
LENGTH = b"Content-Length: "
JSON = b"Content-Type: application/json\r\n"
TEXT = b"Content-Type: text/plain\r\n"
BAD = (
    (b"\r\n\r\n", 400),
    (b"hello\r\n\r\n", 400),
    (b"GET / SPDY/3\r\n" + H + b"\r\n", 400),
    (b"GET / HTTP/2.0\r\n" + H + b"\r\n", 400),
    (b"GET / HTTP/1.1 \r\n" + H + b"\r\n", 400),
    (b"GET  / HTTP/1.1\r\n" + H + b"\r\n", 400),
    (b" / HTTP/1.1\r\n" + H + b"\r\n", 400),
    (b" / HTTP/1.1\r\nGET / HTTP/1.0\r\n\r\n", 400),
    (b"GET / HTTP/1.2\r\n" + H + b"\r\n", 400),
    (b"GET echo HTTP/1.1\r\n" + H + b"\r\n", 400),
    (b"GET  HTTP/1.1\r\n" + H + b"\r\n", 400),
    (b"GET http://x/ HTTP/1.1\r\n" + H + b"\r\n", 400),
    (b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n", 400),
    (b"GET /\xff\xfe HTTP/1.1\r\n" + H + b"\r\n", 400),
    (b"GET /\0 HTTP/1.1\r\n" + H + b"\r\n", 400),
    (b"GET /\x1b[2J HTTP/1.1\r\n" + H + b"\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
    (b"GET / HTTP/1.1\r\n" + H + H + b"\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + H + b"no colon\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + H + b": no name\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + H + b"X : y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + H + b"X: y\r\n folded: z\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + H + b"X: \0\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + H + b"X: a\rb\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + H + b"\xff\xfe: y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + H + b"Cookie: a\r\nCookie: b\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\n" + H + LENGTH + b"-1\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\n" + H + LENGTH + b"+1\r\n\r\nx", 400),
    (b"POST /echo HTTP/1.1\r\n" + H + LENGTH + b"\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\n" + H + LENGTH + b"1_0\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\n" + H + LENGTH + b"1.0\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\n" + H + LENGTH + b"0x1\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\n" + H + LENGTH + b"3, 3\r\n\r\nabc", 400),
    (b"POST /echo HTTP/1.1\r\n" + H + (LENGTH + b"3\r\n") * 2 + b"\r\nabc", 400),
    (b"POST /echo HTTP/1.1\r\n" + H + LENGTH + b"2049\r\n\r\n" + b"x" * 2049, 413),
    (b"POST /echo HTTP/1.1\r\n" + H + LENGTH + b"9" * 300 + b"\r\n\r\n", 413),
    (b"POST /echo HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    (b"GET /" + b"x" * 1500 + b" HTTP/1.1\r\n" + H + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + H + b"X: " + b"y" * 1500 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + H + b"X: y\r\n" * 2000 + b"\r\n", 431),
    (b"x" * 20000, 431),
    (b"GET /%65cho HTTP/1.1\r\n" + H + b"\r\n", 404),
    (b"GET /../echo HTTP/1.1\r\n" + H + b"\r\n", 404),
    (b"GET //echo HTTP/1.1\r\n" + H + b"\r\n", 404),
    (b"GET /echo/ HTTP/1.1\r\n" + H + b"\r\n", 404),
    (b"GET /ECHO HTTP/1.1\r\n" + H + b"\r\n", 404),
    (b"get /echo HTTP/1.1\r\n" + H + b"\r\n", 405),
    (b"OPTIONS /echo HTTP/1.1\r\n" + H + b"\r\n", 405),
    (b"GET, HEAD /visit HTTP/1.1\r\n" + H + b"\r\n", 400),
    (b", /visit HTTP/1.1\r\n" + H + b"\r\n", 405),
    (b"HEAD /api/echo HTTP/1.1\r\n" + H + b"\r\n", 405),
    (b"GET /fails?memory HTTP/1.1\r\n" + H + b"\r\n", 503),
    (b"GET /starves HTTP/1.1\r\n" + H + b"\r\n", 503),
    # names that are not the charger's, as a page elsewhere might have bound to its address
    (b"GET /echo HTTP/1.1\r\nHost: y\r\n\r\n", 302),
    (b"GET /echo HTTP/1.1\r\nHost: x.y\r\n\r\n", 302),
    (b"POST /api/echo HTTP/1.1\r\nHost: y\r\n\r\n", 421),
    (b"POST /api/echo HTTP/1.1\r\nHost: y:80\r\n\r\n", 421),
    (b"POST /api/echo HTTP/1.1\r\nHost: 1.2.3.4.y\r\n\r\n", 421),
    (b"POST /api/echo HTTP/1.1\r\nHost: x.local.y\r\n\r\n", 421),
    (b"POST /api/echo HTTP/1.1\r\nHost: ..\r\n\r\n", 421),
    (b"POST /api/echo HTTP/1.1\r\nHost: \xff\r\n\r\n", 421),
    (b"POST /api/echo HTTP/1.1\r\nHost: 1.2.3.4@y\r\n\r\n", 421),
    # pages from elsewhere
    (b"POST /api/echo HTTP/1.1\r\n" + H + b"Origin: http://y\r\n\r\n", 403),
    (b"POST /api/echo HTTP/1.1\r\n" + H + b"Origin: https://x\r\n\r\n", 403),
    (b"POST /api/echo HTTP/1.1\r\n" + H + b"Origin: http://x:80\r\n\r\n", 403),
    (b"POST /api/echo HTTP/1.1\r\n" + H + b"Origin: http://x.y\r\n\r\n", 403),
    (b"POST /api/echo HTTP/1.1\r\n" + H + b"Origin: null\r\n\r\n", 403),
    (b"POST /api/echo HTTP/1.1\r\n" + H + b"Origin:\r\n\r\n", 403),
    (b"PUT /echo HTTP/1.1\r\n" + H + b"Origin: http://y\r\n\r\n", 403),
    # no login
    (b"GET /login HTTP/1.1\r\n" + H + b"\r\n", 401),
    (b"HEAD /login HTTP/1.1\r\n" + H + b"\r\n", 401),
    (b"POST /login HTTP/1.1\r\n" + H + b"Cookie: holdfast=\r\n\r\n", 401),
    (b"POST /login HTTP/1.1\r\n" + H + b"Cookie: holdfast=" + b"0" * 32 + b"\r\n\r\n", 401),
    # no JSON object
    (b"POST /api/echo HTTP/1.1\r\n" + H + LENGTH + b"2\r\n\r\n{}", 415),
    (b"POST /api/echo HTTP/1.1\r\n" + H + TEXT + LENGTH + b"2\r\n\r\n{}", 415),
    (b"POST /api/echo HTTP/1.1\r\n" + H + JSON + LENGTH + b"2\r\n\r\n[]", 400),
    (b"POST /api/echo HTTP/1.1\r\n" + H + JSON + LENGTH + b'3\r\n\r\n{"a', 400),
    (b"POST /api/echo HTTP/1.1\r\n" + H + JSON + LENGTH + b"3\r\n\r\n{}x", 400),
    (b"POST /api/echo HTTP/1.1\r\n" + H + JSON + LENGTH + b"5\r\n\r\n[{}:1", 400),
    (b"POST /api/echo HTTP/1.1\r\n" + H + JSON + LENGTH + b"8\r\n\r\n{[1]:2 }", 400),
    (b"POST /api/echo HTTP/1.1\r\n" + H + JSON + LENGTH + b'7\r\n\r\n{"\xff":1}', 400),
)


async def good():
    """What the routes are told, and what comes back, wherever the request is cut."""
    whole = []
    for data in GOOD:
        whole.append(await ask(application, [data]))
    told = []
    for n, status in enumerate((200, 200, 200, 200, 200, 201, 200, 200, 405, 404)):
        got, headers, body = parsed(whole[n], n == 1)
        assert got == status, (GOOD[n], whole[n])
        assert ("transfer-encoding" in headers) == (n in (0, 6)), headers
        assert (headers.get("allow") == "GET,HEAD,POST,PUT") == (n == 8), headers
        told.append(body)
    assert told[0] == page() and told[6] == b"0,1,2,3,4,5,6,7,8,"
    assert whole[7].endswith(b"\r\n\r\n0,1,2,") and told[5] == b"taken"
    assert json.loads(told[2]) == ["GET", "/echo", "after=7&format=csv", {}, ""]
    cookie = {"host": "x", "cookie": "b\xe6", "origin": ""}
    assert json.loads(told[3]) == ["GET", "/echo", "", cookie, ""], told[3]
    posted = {"host": "x", "content-type": "application/json", "content-length": "13"}
    assert json.loads(told[4]) == ["POST", "/echo", "", posted, '{"pin":"123"}']
    assert charger.visits == [b"ab\r\n"]

    got, headers, body = parsed(await ask(application, [b"GET /long HTTP/1.0\r\n\r\n"]))
    assert got == 200 and body.decode() == "\u00e6x" * 2000 and len(body) == 6000

    for data, answer in zip(GOOD, whole):
        for cut in range(1, len(data)):
            assert await ask(application, [data[:cut], data[cut:]]) == answer, (data, cut)
            assert await ask(application, [data[:cut]]) == b"", (data, cut)  # it went away
        assert await ask(application, [bytes([b]) for b in data]) == answer, data
        # what follows the request is no second one
        for more in (b"x", b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n" * 9, b"\0" * 5000):
            assert await ask(application, [data + more]) == answer, data
            assert await ask(application, [data, more]) == answer, data
    charger.visits.clear()
    body = bytes(range(256)) * 8
    data = b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2048\r\n\r\n" + body
    kept = []

    async def keep(charger, request):
        kept.append(bytes(request.body))
        return 200, "text/plain", "", ""

    odd.put = keep
    for step in (1, 7, 255, 256, 257, 3000):
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        parsed(await ask(application, pieces))
        assert kept.pop() == body
    odd.put = odd.get


async def bad():
    for data, status in BAD:
        got, headers, body = parsed(await ask(application, [data]), data.startswith(b"HEAD"))
        assert got == status, (data[:80], got)
        if not data.startswith(b"HEAD"):
            if status == 302:
                assert headers["location"] == "http://192.168.4.1/", headers
                continue
            said = json.loads(body)
            assert said["error"].isalpha() and said["reason"].endswith("."), body
            assert headers["content-type"] == "application/json"
    # 40 headers of a browser are fine
    some = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 90) for i in range(40))
    got, _, _ = parsed(await ask(application, [b"GET / HTTP/1.1\r\n" + H + some + b"\r\n"]))
    assert got == 200
    # the names that are, and pages of its own
    for name in (b"x", b"X", b"x.local", b"X.Local:8080", b"localhost", b"localhost:1", b"1.2.3.4"):
        for lines in (b"Host: " + name, b"Host: %s\r\nOrigin: http://%s" % (name, name)):
            data = b"PUT /echo HTTP/1.1\r\n" + lines + b"\r\n\r\n"
            assert parsed(await ask(application, [data]))[0] == 200, data
    # by mDNS a name without what host names may not have, and no other that looks like it
    charger.id = "A_b.c"
    for name, status in ((b"a-b-c.local", 200), (b"A-B-C", 200), (b"a_b.c", 200), (b"a.b.c", 421)):
        data = b"PUT /api/put HTTP/1.1\r\nHost: " + name + b"\r\n\r\n"
        assert parsed(await ask(application, [data]))[0] == status, name
    charger.id = "x"
    # an object as JSON, and none
    for lines, body, content in (
        (JSON, b'{"pin": "123"}', {"pin": "123"}),
        (b"Content-Type: application/json; charset=utf-8\r\n", b"{}", {}),
        (b"", b"", {}),
    ):
        length = LENGTH + b"%d\r\n\r\n" % len(body)
        data = b"POST /api/echo HTTP/1.1\r\n" + H + lines + length + body
        assert json.loads(parsed(await ask(application, [data]))[2]) == content
    # of a header no more than 128 bytes are kept
    data = b"GET /echo HTTP/1.1\r\n" + H + b"Origin: " + b"y" * 400 + b"\r\n\r\n"
    assert json.loads(parsed(await ask(application, [data]))[2])[3]["origin"] == "y" * 128
    # an error in a route, told on the console
    got, _, body = parsed(await ask(application, [b"GET /fails HTTP/1.1\r\n" + H + b"\r\n"]))
    assert got == 500 and b"could not answer" in body
    # and in the middle of a body, which must not look whole
    answer = await ask(application, [b"GET /breaks HTTP/1.1\r\n" + H + b"\r\n"])
    assert answer.endswith(b"\r\n\r\n2\r\n4,\r\n2\r\n6,\r\n"), answer


async def forgotten():
    """A module of a row lives for one request."""
    answer = await ask(application, [b"HEAD /visit?9 HTTP/1.1\r\n" + H + b"\r\n"])
    assert parsed(answer, True)[0] == 200
    data = b"GET /visit?2000 HTTP/1.1\r\n" + H + b"\r\n"
    for n in range(6):
        if n == 2:
            gc.collect()
            used = gc.mem_alloc()
        assert parsed(await ask(application, [data]))[2].endswith(b",1999,")
        assert "web_rooms.visit" not in sys.modules
    gc.collect()
    assert gc.mem_alloc() - used < 64, gc.mem_alloc() - used


PIECES = (
    b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\t", b"?", b"%2e%2e/", b"../", b"HTTP/1.1",
    b"HEAD ", b"Host: y\r\n", b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"X: y\r\n", b"\xc3", b"\r\n\r\n",
    b"Cookie: ", b"POST ",
)  # fmt: skip


def made_up():
    """A request that nobody would send, most often a good one with a few wounds."""
    if random.randrange(12) == 0:
        return bytes([random.randrange(256) for _ in range(random.randrange(200))])
    data = random.choice(GOOD)
    for _ in range(random.randrange(1, 5)):
        at = random.randrange(len(data) + 1)
        what = random.randrange(6)
        if what == 0:
            data = data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        elif what == 1:
            data = data[:at] + data[at + random.randrange(1, 9) :]
        elif what == 2:
            data = data[:at] + random.choice(PIECES) + data[at:]
        elif what == 3:
            end = at + random.randrange(40)
            data = data[:end] + data[at:end] * random.randrange(1, 4) + data[end:]
        elif what == 4:
            data = (
                data[:at] + bytes([random.randrange(33, 127)]) * random.randrange(900) + data[at:]
            )
        else:
            data = data[:at] + random.choice(GOOD)[random.randrange(20) :]
    return data


async def fuzz(rounds):
    counts = {}
    for _ in range(rounds):
        data = made_up()
        cut = random.randrange(len(data) + 1)
        answer = await ask(application, (data[:cut], data[cut:]))
        charger.visits.clear()
        status = 0
        if answer:
            end = answer.find(b"\r\n\r\n") + 4
            status, _, _ = parsed(answer, end == len(answer))
            assert status in SERVED, (data, answer)
        counts[status] = counts.get(status, 0) + 1
    return counts


async def until(condition, limit_ms=2000):
    start = now_ms()
    while not condition():
        assert now_ms() - start < limit_ms, "it took too long"
        await asyncio.sleep_ms(5)


class Beat:
    def beat(self):
        pass


async def deadlines(port):
    """How long a connection may take, and which one gives way to a fifth."""
    global skipped_ms
    clock.now_ms = lambda: now_ms() + skipped_ms & 0x3FFFFFFF
    skipped_ms = (1 << 30) - now_ms() - 4000  # the clock wraps meanwhile
    serving = Server(application, port)
    running = asyncio.create_task(serving.run(Beat()))
    await asyncio.sleep_ms(50)

    def connect(*pieces, **how):
        wire = Wire(pieces, **how)
        asyncio.create_task(serving._serve(wire, wire))
        return wire

    waiting = b"GET /waits HTTP/1.1\r\n" + H + b"\r\n"
    page = b"GET / HTTP/1.1\r\n" + H + b"\r\n"
    # 8 s for the request, 30 more for its answer
    silent = connect(b"GET / HT", hangs=True)
    working = connect(waiting, hangs=True)
    stalled = connect(page, stalls=True)
    await until(lambda: len(serving._open) == 3 and not working.pieces[0])
    await asyncio.sleep_ms(300)
    skipped_ms += 7000
    await asyncio.sleep_ms(300)
    assert not (silent.closed or working.closed or stalled.closed)
    skipped_ms += 700
    await until(lambda: silent.closed, 450)
    assert not working.closed and not stalled.closed and not silent.sent
    skipped_ms += 20500
    await asyncio.sleep_ms(300)
    assert not working.closed and not stalled.closed
    skipped_ms += 1300
    await until(lambda: working.closed and stalled.closed, 450)
    assert not serving._open

    # a fifth takes the place of the oldest that has not sent its request
    first = connect(waiting, hangs=True)
    second, third = connect(b"", hangs=True), connect(b"POST /", hangs=True)
    await asyncio.sleep_ms(30)
    fourth = connect(b"", hangs=True)
    await until(lambda: len(serving._open) == 4)
    for dropped in (second, third, fourth):
        fifth = connect(waiting, hangs=True)
        await until(lambda: dropped.closed)
        assert not fifth.closed and len(serving._open) == 4
        await asyncio.sleep_ms(30)
    # several that come at once do not all take the same one's place
    skipped_ms += 30500
    await until(lambda: not serving._open)
    first, *silent = [connect(b"", hangs=True) for _ in range(4)]
    await asyncio.sleep_ms(30)
    for _ in range(3):
        connect(waiting, hangs=True)
    await until(lambda: first.closed)
    assert len(serving._open) == 4 and silent[1].closed and not silent[2].closed
    first = connect(waiting, hangs=True)
    await until(lambda: silent[2].closed)
    # while four are being answered it is turned away
    fifth = connect(page)
    await until(lambda: fifth.closed)
    assert not fifth.sent and len(serving._open) == 4 and not first.closed
    skipped_ms += 30500
    await until(lambda: not serving._open)
    # an answer that nobody takes gives way after a second, one that moves does not
    wires = [connect(page, stalls=True) for _ in range(4)]
    await until(lambda: all(wire.sent for wire in wires))
    fifth = connect(page)
    await until(lambda: fifth.closed)
    assert not fifth.sent and len(serving._open) == 4
    skipped_ms += 1100
    fifth = connect(page)
    await until(lambda: wires[0].closed and fifth.closed)
    assert parsed(bytes(fifth.sent))[0] == 200
    # and when the server ends, all of them do
    running.cancel()
    await until(lambda: all(wire.closed for wire in wires) and not serving._open)
    clock.now_ms = now_ms


async def main():
    server.asyncio = Hurried
    await good()
    await bad()
    await forgotten()
    random.seed(SEED)
    await fuzz(ROUNDS // 20)
    gc.collect()
    used = gc.mem_alloc()
    counts = await fuzz(ROUNDS)
    gc.collect()
    grown = gc.mem_alloc() - used
    assert grown < 512, grown
    assert (await ask(application, [GOOD[0]])).endswith(page()[-8:] + b"\r\n0\r\n\r\n")
    server.asyncio = asyncio
    await deadlines(int(sys.argv[3]))
    print("ok", grown, counts)


asyncio.run(main())
