"""A Worker that a test on the host steers, while a loop of 16 ms goes on beside it.

Each line of standard input is an expression, or statements; the answer is its value as a line of
JSON, or {"error": ...}. The loop takes the messages that come down, unless `taking` is False, and
notes its longest gap.
"""

import gc
import json
import select
import socket
import sys
import time

# trouble.py too is here to stay: the unix port can take a file for shorter than it is when another
# thread's garbage collection interrupts its reading.
from firmware.uplink import broker, transport, trouble  # noqa: F401
from firmware.uplink import worker as worker_module
from firmware.uplink.backoff import Backoff

_TICK_MS = 16


class Names:
    """This test's network in place of `socket`: a few names, as the DNS of two ports gives them.

    The host's own DNS fails now and then when a garbage collection interrupts it.
    """

    AF_INET = socket.AF_INET
    SOCK_STREAM = socket.SOCK_STREAM
    socket = socket.socket

    @staticmethod
    def getaddrinfo(host, *more):
        if host == "unknown.esp32.test":
            raise OSError(-202)
        if host == "unknown.unix.test":
            raise OSError("[addrinfo error -2]")
        if host == "hint.esp32.test":
            return [(2, 1, 0, "", ("127.0.0.9", 0))]
        return socket.getaddrinfo("127.0.0.1" if host == "broker.test" else host, *more)


transport.socket = Names

places = []  # the next draws, each from 0 to 32767; afterwards they are all the last one
last_place = 32767
longest_ms = 0
messages = []
taking = True


def draw(most):
    return min(most, places.pop(0) if places else last_place)


def go(*where):
    """Choose a broker, with the first attempt at once and every later one at the window's end."""
    places[:] = [0]
    broker.choose(worker, *where)


def gap_ms():
    global longest_ms
    longest, longest_ms = longest_ms, 0
    return longest


def memory():
    gc.collect()
    return gc.mem_alloc()


def received():
    """Topic and payload of what has come down since the last call; of a long payload its length."""
    taken = [
        (bytes(topic).decode(), len(data) if len(data) > 99 else bytes(data).decode())
        for topic, data in messages
    ]
    messages.clear()
    return taken


def idle(ms):
    """Bytes that are allocated in `ms` while nothing happens; the loop itself allocates none."""
    gc.collect()
    before = gc.mem_alloc()
    for _ in range(ms // _TICK_MS):
        time.sleep_ms(_TICK_MS)
    return gc.mem_alloc() - before


def answer(line):
    try:
        try:
            value = eval(line, globals())
        except SyntaxError:
            value = exec(line, globals())
    except Exception as e:
        sys.print_exception(e)
        value = {"error": repr(e)}
    print(json.dumps(value))


worker = worker_module.Worker("test-1", Backoff(1), draw)
lines = select.poll()
lines.register(sys.stdin, select.POLLIN)
print('"ready"')
before_ms = time.ticks_ms()
while True:
    asked = lines.poll(_TICK_MS)
    now_ms = time.ticks_ms()
    longest_ms = max(longest_ms, time.ticks_diff(now_ms, before_ms))
    before_ms = now_ms
    message = taking and worker.down.take()
    if message:
        messages.append(message)
    if asked:
        line = sys.stdin.readline()
        if not line:
            break
        answer(line)
        before_ms = time.ticks_ms()
