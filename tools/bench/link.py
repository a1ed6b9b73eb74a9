"""The charger's way to the cloud, as the bench can break it: a relay in front of the broker.

Promises: bound to loopback; while the cloud is away every connection is cut and new ones are
refused, as by a dead server; while the WiFi is away nothing passes and nobody is told, as when the
radio is gone; what was under way then is cut when it comes back.
"""

import asyncio
import contextlib
import threading
from typing import Any

from tools.bench.ports import LOOPBACK

_PIECE = 4096


class Link:
    """A relay to the port `target` of this machine, in a thread of its own, on the port `port`.

    `bytes_up` counts what the charger has sent.
    """

    def __init__(self, target: int):
        self.bytes_up = 0
        self._target = target
        self._wifi = self._cloud = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._passes = asyncio.Event()
        self._server = self._do(self._open(0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def set(self, wifi: bool, cloud: bool) -> None:
        """Make network and cloud reachable or not; returns when it is so."""
        self._do(self._set(wifi, cloud))

    def close(self) -> None:
        """Cut everything and stop."""
        self.set(True, False)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _open(self, port: int) -> asyncio.Server:
        self._passes.set()
        return await asyncio.start_server(self._relay, LOOPBACK, port)

    async def _set(self, wifi: bool, cloud: bool) -> None:
        back = wifi and not self._wifi
        gone = self._cloud and not cloud
        self._wifi, self._cloud = wifi, cloud
        if wifi:
            self._passes.set()
        else:
            self._passes.clear()
        if gone or back:
            for writer in list(self._writers):
                writer.transport.abort()
        if gone:
            self._server.close()
        elif cloud and not self._server.is_serving():
            self._server = await self._open(self.port)
            if not wifi:
                self._passes.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._passes.wait()
            there, onward = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(onward)
        ways = [
            asyncio.ensure_future(self._pass(reader, onward, True)),
            asyncio.ensure_future(self._pass(there, writer, False)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, onward):
            with contextlib.suppress(OSError, RuntimeError):
                end.close()
            self._writers.discard(end)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                await self._passes.wait()
                if up:
                    self.bytes_up += len(data)
                writer.write(data)
                await writer.drain()
