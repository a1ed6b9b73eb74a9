"""Microdot behind bounds: what a peer may send, for how long, and how many peers there may be.

Promises: at most four connections, each with a deadline for everything from its first to its last
byte; request line, head and body have a greatest size and are refused before they are stored;
headers that nobody reads are not kept. No peer can make the charger wait or take more memory than
that. Errors are answered as {"error": "A sentence."}.

Microdot parses, routes and answers. It reads through `_BoundedReader`, because by itself it stores
lines of any length and waits for ever.
"""

import asyncio
import json

from microdot import Request, Response
from micropython import const

from firmware import clock, ticks

_CONNECTIONS = const(4)
_DEADLINE_MS = const(8000)
_ROUND_MS = const(250)
_CHUNK = const(256)
_LINE_BYTES = const(512)
_HEAD_BYTES = const(8192)
_BODY_BYTES = const(2048)
_LINGER_MS = const(50)
_LINGER_CHUNKS = const(32)

_KEPT_HEADERS = (b"host", b"content-length", b"content-type", b"cookie", b"origin")
_PHRASES = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
}

Request.max_content_length = Request.max_body_length = _BODY_BYTES
Response.send_file_buffer_size = 512


class _Refused(Exception):
    """A request that never reaches the application: its arguments are status and sentence."""


def error(status, sentence):
    """The answer to a request that failed: {"error": sentence}."""
    phrase = _PHRASES.get(status, "Error")
    body = json.dumps({"error": sentence})
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Response(body, status, headers, phrase)


class Server:
    """Serves a Microdot application on `port` of all interfaces."""

    def __init__(self, application, port):
        self._application = application
        self._port = port
        self._open = []  # [asyncio task, since when] of every connection

    async def run(self, task):
        """Accept connections for ever, reporting in to the supervisor's `task`."""
        listener = await asyncio.start_server(self._serve, "0.0.0.0", self._port, 2)
        accepting = listener.task  # type: ignore[attr-defined]
        try:
            while not accepting.done():
                task.beat()
                now = clock.now_ms()
                for connection in self._open:
                    if ticks.diff(now, connection[1]) > _DEADLINE_MS:
                        connection[0].cancel()
                await asyncio.sleep_ms(_ROUND_MS)
            await accepting
        finally:
            listener.close()
            for connection in self._open:
                connection[0].cancel()

    async def _serve(self, stream, _):
        if len(self._open) >= _CONNECTIONS:
            await stream.wait_closed()
            return
        connection = [asyncio.current_task(), clock.now_ms()]
        self._open.append(connection)
        try:
            await self._answer(stream)
        except (OSError, EOFError):
            pass  # the peer is gone; nobody is left to be told
        except MemoryError:
            print("holdfast: no memory for a web request")
        finally:
            self._open.remove(connection)
            await stream.wait_closed()

    async def _answer(self, stream):
        reader = _BoundedReader(stream)
        request = None
        try:
            peer = stream.get_extra_info("peername")
            request = await Request.create(self._application, reader, stream, peer)  # type: ignore[arg-type]
            if request is None or request.content_length < 0:
                raise ValueError
            if request.content_length > _BODY_BYTES:
                raise _Refused(413, f"The body may have at most {_BODY_BYTES} bytes.")
            response = await self._application.dispatch_request(request)
        except _Refused as e:
            response = error(*e.args)
        except (ValueError, IndexError):
            response = error(400, "That is no HTTP request.")
        await response.write(stream)
        if request is None or not request.body and request.content_length:
            # Closing with bytes unread resets the connection, and the peer may miss the answer.
            await asyncio.sleep_ms(_LINGER_MS)
            for _ in range(_LINGER_CHUNKS):
                if not stream.s.read(_CHUNK):
                    break


class _BoundedReader:
    """What Microdot reads a request from: a stream that refuses what is too long."""

    def __init__(self, stream):
        self._stream = stream
        self._left = _HEAD_BYTES
        self._read = b""
        self._at = 0  # where the next line begins
        self._first = True

    async def readline(self):
        """The next line that somebody needs, with its end; _Refused where that is too long."""
        while True:
            line = await self._line()
            if self._first:
                self._first = False
                if line.find(b" HTTP/1.") < 0:
                    raise ValueError
                return line
            name, colon, _ = line.partition(b":")
            name = name.lower()
            if name == b"transfer-encoding":
                raise _Refused(411, "A body needs a Content-Length.")
            if name in _KEPT_HEADERS or not colon:
                return line

    async def _line(self):
        while True:
            end = self._read.find(b"\n", self._at)
            if end >= 0:
                start = self._at
                self._at = end + 1
                return self._read[start : self._at]
            self._read = self._read[self._at :]
            self._at = 0
            if len(self._read) > _LINE_BYTES or self._left <= 0:
                raise _Refused(431, "The request's head is too long.")
            more = await self._stream.read(_CHUNK)
            if not more:
                raise EOFError
            self._left -= len(more)
            self._read += more

    async def readexactly(self, count):
        """`count` bytes of the body, at most what Microdot was told to store."""
        body = self._read[self._at : self._at + count]
        if len(body) < count:
            body += await self._stream.readexactly(count - len(body))
        return body
