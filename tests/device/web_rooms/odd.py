"""Routes as a test wants them: told back, long, failing, breaking off, waiting."""

import asyncio
import json


async def get(charger, request):
    path = request.path
    if path == "/long":
        return 200, "text/plain", "\u00e6x" * 2000, ""
    if path == "/fails":
        if request.query == "memory":
            raise MemoryError
        return 200, "text/plain", 1 // 0, ""
    if path == "/starves":
        return 200, "text/plain", _starved(), ""
    if path == "/breaks":
        return 200, "text/csv", (b"%d," % (12 // n) if n != 6 else None for n in (3, 6, 2, 0)), ""
    while path == "/waits":
        await asyncio.sleep_ms(10)
    told = [request.method, path, request.query, request.headers, bytes(request.body)]
    return 200, "application/json", json.dumps(told), ""


post = put = get


def _starved():
    raise MemoryError
    yield b""
