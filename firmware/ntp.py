"""The wall clock from a time server, over the `ntptime` that the stock firmware has built in.

`ntptime` blocks, for as long as names are resolved and answers are awaited: it runs in a thread of
its own, one question at a time, and the loop goes on. The chip's own clock is not set.
"""

import _thread
import asyncio
import random

from micropython import const

from firmware.clock import epoch_to_unix

_FIRST_S = const(10)
_RETRY_S = const(60)
_LONGEST_RETRY_S = const(3600)
_AGAIN_S = const(21600)
_ROUND_MS = const(500)


async def run(task, settings, clock):
    """The supervised task: asks soon after the start, then every few hours, never in step."""
    wait_s = _FIRST_S
    retry_s = _RETRY_S
    while True:
        left = (wait_s + random.randrange(wait_s)) * 1000 // _ROUND_MS
        while left or not settings.ntp_host:
            task.beat()
            await asyncio.sleep_ms(_ROUND_MS)
            left = max(0, left - 1)
        answer = []
        try:
            # Not in the thread: the file system is not made for two, and a search in it by one
            # spoils what the other reads and writes.
            import ntptime
        except ImportError:
            answer.append(None)
        else:
            _thread.start_new_thread(_ask, (ntptime, settings.ntp_host, answer))
        while not answer:
            task.beat()
            await asyncio.sleep_ms(_ROUND_MS)
        try:
            clock.set(epoch_to_unix(answer[0]), "ntp")
            wait_s, retry_s = _AGAIN_S, _RETRY_S
        except (TypeError, ValueError):  # no answer, or a time that cannot be
            wait_s, retry_s = retry_s, min(retry_s * 2, _LONGEST_RETRY_S)


def _ask(ntptime, host, answer):
    now_s = None
    try:
        ntptime.host = host
        now_s = ntptime.time()
    except Exception:  # noqa: BLE001 -- whatever it is, it must not end the thread in silence
        pass
    answer.append(now_s)
