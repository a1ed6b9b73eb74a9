"""A small HTTP/1.1 server: what a peer may send, for how long, and how many peers there may be.

Promises: at most four connections, one request each. The request has a deadline of its own, from
the first byte to the last, and so has each piece of the answer. Request line, head and body have a
greatest size and are refused before they are stored; headers that nobody reads are not kept, and of
the others 128 bytes. No peer can make the charger wait or take more memory than that. Errors are
answered as {"error": "Code", "reason": "A sentence."}; the sentences stand in errors.txt.

A fifth peer takes the place of the oldest that has not sent its whole request, or whose answer has
not moved for a second: four silent phones, or a browser's idle spare connections, lock nobody out.
While all four are being answered it is turned away.

Paths and queries are not percent-decoded: no path or parameter of the API needs it, and a path that
is not written as in the table does not exist.

Microdot would do all of that and more. With asyncio it takes 21 KB of the heap (`make bench`), and
those are not there beside the charging, the cloud, both WiFi networks and a card reader.
"""

import asyncio
import json
import sys

from micropython import const

from firmware import clock, ticks
from firmware.briefly import its_end, turn
from firmware.reasons import sentence

_CONNECTIONS = const(4)
_REQUEST_MS = const(8000)
_ANSWER_MS = const(30000)  # a lock that needs a second try
_STALLED_MS = const(1000)
_ROUND_MS = const(250)
SHORT_MS = const(100)  # of memory: the next try comes then
_TRIES = const(5)
_WAITING = const(2)  # peers that the port keeps: each of them takes one of the chip's few sockets
_CHUNK = const(256)
_PIECE = const(512)
_LINE_BYTES = const(512)
_HEAD_BYTES = const(8192)
_BODY_BYTES = const(2048)
_VALUE_BYTES = const(128)
_LINGER_MS = const(50)
_LINGER_CHUNKS = const(32)
_KEPT_HEADERS = const(
    " host content-length content-type cookie origin if-none-match accept-language "
)

# Framed by nobody but a page of the same machine, as the bench does on its charger; browsers that
# do not know the policy take the line before it. No reason phrase: nobody reads it.
_HEAD = (
    "HTTP/1.1 {} \r\nContent-Type: {}\r\nConnection: close\r\nX-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\nReferrer-Policy: same-origin\r\n"
    "Content-Security-Policy: frame-ancestors http://127.0.0.1:* http://localhost:*\r\n"
)
_ERRORS = __file__[: __file__.rindex("firmware/")] + "firmware/web/errors.txt"


def error(status, code, headers="", more=None):
    """The answer to a request that failed: {"error": code, "reason": its sentence}.

    `more` is a dict of further members, or of another reason.
    """
    said = {"error": code}
    with open(_ERRORS) as lines:
        for line in lines:
            if line.startswith(code + " "):
                said["reason"] = line[len(code) + 1 :].rstrip()
                break
        else:
            said["reason"] = sentence(code)
    if more:
        said.update(more)
    return status, "application/json", json.dumps(said), headers


class Request:
    """A request as the routes see it.

    `method`, `path` and `query` (what follows the first "?") are strings, `body` is a bytearray,
    `peer` the address it came from, as the port's sockets give it. `headers` has those that
    somebody reads, as far as they were sent: {name in small letters: bytes}; of the cookies it has
    the value of the one named holdfast.
    """

    method = ""
    old = False  # HTTP/1.0

    async def receive(self, stream):
        """Take everything from `stream`: None, or the answer that refuses it.

        ValueError for what is no HTTP request, EOFError when the peer goes away before its end.
        """
        self.peer = stream.get_extra_info("peername")
        self.headers = headers = {}
        left = _HEAD_BYTES
        read = b""
        at = 0  # where the next line begins
        while True:
            end = read.find(b"\n", at)
            if end < 0:
                read = read[at:]
                at = 0
                if len(read) > _LINE_BYTES or left <= 0:
                    return error(431, "HeadTooLong")
                more = await stream.read(_CHUNK)
                if not more:
                    raise EOFError
                left -= len(more)
                read += more
                continue
            line = read[at:end]
            at = end + 1
            if line[-1:] == b"\r":
                line = line[:-1]
            if not line:
                break
            if min(line.replace(b"\t", b" ")) < 32:
                raise ValueError
            if not self.method:
                self.method, path, version = line.decode().split(" ")
                if not self.method or path[:1] != "/" or version not in ("HTTP/1.1", "HTTP/1.0"):
                    raise ValueError
                self.path, _, self.query = path.partition("?")
                self.old = version[7] == "0"
                continue
            name, colon, value = line.partition(b":")
            if not colon or name.split() != [name]:
                raise ValueError
            key = name.lower().decode()
            if key == "transfer-encoding":
                return error(411, "LengthMissing")
            # No name has a space in it.
            if " " + key + " " in _KEPT_HEADERS:
                if key in headers:
                    raise ValueError
                value = value.strip()
                if key == "cookie":
                    value = value.partition(b"holdfast=")[2].partition(b";")[0]
                headers[key] = value[:_VALUE_BYTES]
        length = headers.get("content-length", b"0")
        if not self.method or not length.isdigit() or not (self.old or "host" in headers):
            raise ValueError
        if len(length) > 9 or int(length) > _BODY_BYTES:
            return error(413, "BodyTooLong")
        self.body = body = bytearray(int(length))
        read = read[at : at + len(body)]
        at = len(read)
        body[:at] = read
        while at < len(body):
            more = await stream.readinto(memoryview(body)[at:])
            if not more:
                raise EOFError
            at += more


class Server:
    """Serves `application` on `port` of all interfaces.

    `application` is a coroutine function that gets a Request and returns its answer as a tuple:
    status, content type, body, and further headers, each with its line end. The body is str or
    bytes, or a generator of bytes in pieces of about 512, none of them empty, or None where others
    should have their turn, or False where it has no memory and wants to try again in a moment; it
    is closed at the end, whatever happens.
    """

    def __init__(self, application, port):
        self._application = application
        self._port = port
        self._full = error(503, "OutOfMemory")  # made while there is memory for it
        # Every connection as [its task, when it ends at the latest, since when it may be dropped]
        self._open = []

    async def run(self, task):
        """Accept connections for ever, reporting in to the supervisor's `task`."""
        listener = await asyncio.start_server(self._serve, "0.0.0.0", self._port, _WAITING)
        accepting = listener.task  # type: ignore[attr-defined]
        try:
            while not accepting.done():
                task.beat()
                now = clock.now_ms()
                for connection in self._open:
                    if ticks.diff(now, connection[1]) > 0:
                        connection[0].cancel()
                await asyncio.sleep_ms(_ROUND_MS)
            await accepting
        finally:
            listener.close()
            for connection in self._open:
                connection[0].cancel()

    async def _serve(self, stream, _):
        now = clock.now_ms()
        connection = [asyncio.current_task(), ticks.add(now, _REQUEST_MS), now]
        try:
            if len(self._open) >= _CONNECTIONS:
                for other in self._open:  # the oldest comes first
                    if ticks.diff(now, other[2]) >= 0:
                        self._open.remove(other)
                        other[0].cancel()
                        break
                else:
                    return
            self._open.append(connection)
            if turn.locked():
                await its_end()
            await self._answer(stream, connection)
        except (OSError, EOFError):
            pass  # the peer is gone; nobody is left to be told
        except MemoryError:
            print("holdfast: no memory for a web request")
        except Exception as e:  # noqa: BLE001 -- the body's generator; half an answer shows as such
            sys.print_exception(e)
        finally:
            if connection in self._open:
                self._open.remove(connection)
            await stream.wait_closed()

    async def _answer(self, stream, connection):
        request = Request()
        piece = b""
        try:
            answer = await request.receive(stream)
        except ValueError:
            answer = error(400, "NotHttpAtAll")
        except MemoryError:
            answer = self._full
        refused = answer is not None
        more = 0 if request.method == "HEAD" else 1
        connection[1] = connection[2] = ticks.add(clock.now_ms(), _ANSWER_MS)
        tries = _TRIES if request.method in ("GET", "HEAD") else 1  # what reads can do so again
        while tries and not refused:
            try:
                answer = await self._application(request)
                body = answer[2]
                if more and not isinstance(body, (str, bytes)):
                    # What is wrong shows most often before the first piece: it can still be said.
                    piece = await _next(body)
                break
            except MemoryError:
                body = None
                tries -= 1
                answer = self._full
            except Exception as e:  # noqa: BLE001 -- an error in one route is no reason to end
                sys.print_exception(e)
                answer = error(500, "InternalError")
                break
            await asyncio.sleep_ms(SHORT_MS)
        status, kind, body, headers = answer
        counted = isinstance(body, (str, bytes))
        chunked = not counted and not request.old
        size = -1
        if counted:
            body = memoryview(body)  # str too: its UTF-8, without a copy
            size = len(body)
        at = 0
        try:
            data = await _soon(_head, status, kind, headers, size, chunked)
            # The head goes together with the first piece: alone, it would hold that up until its
            # receipt comes.
            while more or data:
                if more:
                    if counted:
                        piece = body[at : at + _PIECE]
                    elif at:
                        piece = await _next(body)
                    at += _PIECE
                    more = len(piece)
                    if chunked:
                        data = await _soon(b"".join, (data, b"%x\r\n" % more, piece, b"\r\n"))
                    elif data:
                        data += piece
                    else:
                        data = piece
                stream.write(data)
                data = b""
                connection[2] = ticks.add(clock.now_ms(), _STALLED_MS)
                await stream.drain()
                connection[1] = connection[2] = ticks.add(clock.now_ms(), _ANSWER_MS)
        finally:
            if not counted:
                body.close()
        # Closing with bytes unread resets the connection, and the peer may miss the answer.
        connection[2] = clock.now_ms()  # from here on it may give way to others
        if refused:
            await asyncio.sleep_ms(_LINGER_MS)
        unread = bytearray(_CHUNK)
        for _ in range(_LINGER_CHUNKS):
            if not stream.s.readinto(unread):
                break


def _head(status, kind, headers, size, chunked):
    if "Cache-Control" not in headers:
        headers += "Cache-Control: no-store\r\n"
    if size >= 0:
        headers += "Content-Length: {}\r\n".format(size)
    elif chunked:
        headers += "Transfer-Encoding: chunked\r\n"
    return (_HEAD.format(status, kind) + headers + "\r\n").encode()


async def _soon(function, *arguments):
    """What the function returns, once there is memory for it."""
    for _ in range(_TRIES):
        try:
            return function(*arguments)
        except MemoryError:
            await asyncio.sleep_ms(SHORT_MS)
    raise MemoryError


async def _next(body):
    """The next piece of a body, b"" after the last."""
    while True:
        async with turn:
            while True:
                piece = next(body, b"")
                if piece is not None:
                    break
                await asyncio.sleep_ms(0)
        if piece is not False:
            return piece
        await asyncio.sleep_ms(SHORT_MS)
