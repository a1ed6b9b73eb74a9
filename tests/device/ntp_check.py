"""The time server asked through the stand-in for `ntptime`, in a thread, the waiting cut short.

Argument: the port of the server that the test runs on the loopback address.
"""

import asyncio
import socket
import sys
import time

import ntptime

from firmware import ntp
from firmware.clock import Clock

real_sleep_ms = asyncio.sleep_ms
slept_ms = 0


async def fast_ms(ms):
    global slept_ms
    slept_ms += ms
    time.sleep_us(100)  # for the thread
    await real_sleep_ms(0)


asyncio.sleep_ms = fast_ms


class Names:
    """The names and ports of this test's network, in place of `socket`."""

    AF_INET = socket.AF_INET
    SOCK_DGRAM = socket.SOCK_DGRAM
    socket = socket.socket

    @staticmethod
    def getaddrinfo(host, port):
        if host != "time.test" or port != 123:
            raise OSError(-2)
        return socket.getaddrinfo("127.0.0.1", int(sys.argv[1]))


ntptime.socket = Names


class Settings:
    ntp_host = ""


class Task:
    beats = 0

    def beat(self):
        self.beats += 1


async def until(condition, what):
    for _ in range(50000):
        if condition():
            return
        await real_sleep_ms(0)
    raise AssertionError(what)


async def main():
    global slept_ms
    task, clock = Task(), Clock(1, 0)
    running = asyncio.create_task(ntp.run(task, Settings, clock))
    await until(lambda: task.beats > 200, "does not report in without a server")
    assert clock.quality == "unknown"
    slept_ms = 0
    Settings.ntp_host = "no.such.name"
    await until(lambda: slept_ms > 3 * 60000, "does not go on after failures")
    assert clock.quality == "unknown" and not running.done()

    Settings.ntp_host = "time.test"  # its first answer is of the year 2001, the next is right
    await until(lambda: clock.quality == "ntp", "the time was not set")
    assert clock.utc() == "2026-11-23T05:22:00Z", clock.utc()
    slept_ms = 0
    await until(lambda: slept_ms > 3600000, "stopped")
    running.cancel()
    print("ok")


asyncio.run(main())
