"""What umqtt.simple takes for a socket and for the module `socket`: a wire with deadlines.

Promises: DNS, TCP and TLS happen here, and only DNS can last longer than the deadlines: one for
each byte, and one for the whole operation, which its owner sets in `until` and which holds however
busily other packets arrive. Every packet of the broker is checked before umqtt sees it, so that
umqtt cannot get out of step with the stream: only PUBLISH of QoS 0 and 1 and the one answer that is
`awaited` pass, whole and of the right length. A payload of more than 1024 bytes is skipped and
becomes None; a packet of more than 64 KB is refused.

OSError ends everything: the connection is not used again. Its argument is an errno, what mbedtls
says, or one of the words that trouble.py explains: "silent", "closed", "broken".
"""

import errno
import select
import socket

from micropython import const

from firmware import ticks
from firmware.clock import now_ms

# The first bytes of packets, for Transport.awaited
CONNACK = const(0x20)
PUBACK = const(0x40)
SUBACK = const(0x90)
_PINGRESP = const(0xD0)

_MOST = const(1024)  # bytes of a payload, or of a topic, that are kept
_MOST_PACKET = const(65536)
_OUT = const(128)  # small writes are collected, so that a packet is not sent in five pieces
_STEP_MS = const(200)  # how soon `stopping` is seen
_TCP = const(6)
_NODELAY = const(1)


class Transport:
    """One connection at a time; `connect` makes it, `close` ends it.

    `context` is an SSLContext, or None for plain TCP. `awaited` is the answer that umqtt waits for,
    with the packet id `pid`, or 0. `heard_ms` and `said_ms` are the ticks of the last byte in each
    direction.
    """

    def __init__(self):
        self.context = None
        self.byte_ms = 10000  # the longest silence while something is awaited
        self.until = 0  # the tick by which the operation that is under way must be over
        self.awaited = self.pid = 0
        self.heard_ms = self.said_ms = 0
        self.stopping = False  # give up at once
        self._host = self._raw = self._sock = self._poll = None
        self._nowait = False
        self._out = memoryview(bytearray(_OUT))
        self._held = 0  # bytes in it
        self._head = memoryview(bytearray(8))  # the first bytes of a packet
        self._at = self._have = 0  # how many umqtt has read, and how many there are
        self._left = 0  # of the whole packet

    # The module `socket`

    def socket(self):
        return self

    def getaddrinfo(self, host, port):
        """As usual, IPv4 only. OSError with a small negative number: the name is not found."""
        self._host = host
        return socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)

    # A socket

    def settimeout(self, ms):
        """Newer versions of umqtt call it; the deadlines are set elsewhere."""

    def connect(self, place):
        """Connect to a place from getaddrinfo. The first write makes the TLS handshake."""
        self._raw = self._sock = sock = socket.socket()
        sock.setblocking(False)
        try:
            sock.connect(place)
        except OSError as e:
            if e.errno != errno.EINPROGRESS:
                raise
        self._poll = poll = select.poll()
        poll.register(sock, select.POLLIN)
        self._wait(select.POLLOUT)
        sock.setsockopt(_TCP, _NODELAY, 1)
        if self.context:
            poll.unregister(sock)
            self._sock = sock = self.context.wrap_socket(
                sock, server_hostname=self._host, do_handshake_on_connect=False
            )
            poll.register(sock, select.POLLIN)
        self.heard_ms = self.said_ms = now_ms()

    def setblocking(self, flag):
        """False: the next read returns None if no packet has begun. True never means for ever."""
        self._nowait = not flag

    def read(self, n):
        """`n` bytes of the packet that is being read; the first read of a packet checks it."""
        if not n:
            return b""
        if not self._left and not self._begin():
            return None
        if not 0 < n <= self._left:
            raise OSError("broken")
        self._left -= n
        at = self._at
        if at < self._have:
            self._at = at + n
            return bytes(self._head[at : at + n])
        if n <= _MOST:
            data = bytearray(n)
            self._fill(memoryview(data))
            return data
        while n:
            size = min(n, _OUT)
            self._fill(self._out[:size])
            n -= size
        return None

    def write(self, data, n=-1):
        """Send the first `n` bytes of `data`, all of them by default; maybe only at the flush."""
        if n < 0:
            n = len(data)
        data = memoryview(data)[:n]
        if self._held + n > _OUT:
            self.flush()
            if n > _OUT:
                self._send(data)
                return
        self._out[self._held : self._held + n] = data
        self._held += n

    def close(self):
        """Drop the connection, in any state, without a word to the broker. Allocates nothing."""
        sock = self._sock
        raw = self._raw
        self._raw = self._sock = self._poll = None
        self._held = self._left = 0
        self._nowait = False
        _close(sock)
        _close(raw)  # TLS does not close it after a handshake that failed

    # For the owner

    def flush(self):
        """Send what the writes have collected."""
        n = self._held
        if n:
            self._held = 0
            self._send(self._out[:n])

    def ready(self, ms):
        """Wait up to `ms` for bytes of the broker; True if there may be some."""
        for _ in self._poll.ipoll(ms):
            return True
        return False

    def _begin(self):
        """Read a packet up to where umqtt can be trusted with it; False: none has begun."""
        head = self._head
        while True:
            self.flush()
            if not self._fill(head[:1], self._nowait):
                return False
            size = at = 0
            while at < 4 and (not at or head[at] & 0x80):
                at += 1
                self._fill(head[at : at + 1])
                size |= (head[at] & 0x7F) << 7 * at - 7
            fits = not head[at] & 0x80
            at += 1
            kind = head[0]
            awaited = self.awaited
            message = kind >> 4 == 3 and awaited != CONNACK
            if kind == _PINGRESP and fits and not size:
                if self._nowait:
                    return False
                continue
            more = 2
            if message:
                fits = fits and kind & 6 < 4 and 1 < size <= _MOST_PACKET
            else:
                # umqtt takes the length of an answer for one byte.
                more = 3 if kind == SUBACK else 2
                fits = 0 != kind == awaited and at == 2 and size == more
            if fits:
                self._fill(head[at : at + more])
                number = head[at] << 8 | head[at + 1]
                if message:
                    fits = number + 2 + (kind & 2) <= size
                else:
                    fits = kind == CONNACK or number == self.pid
            if not fits:
                raise OSError("broken")
            self._at = 0
            self._have = at + more
            self._left = at + size
            return True

    def _fill(self, data, nowait=False):
        """Fill the memoryview `data`; False if nothing is there and it need not wait."""
        if ticks.diff(self.until, now_ms()) <= 0:
            raise OSError("silent")
        while True:
            got = self._sock.readinto(data)
            if got is None:
                if nowait:
                    return False
                self._wait()
            elif got == 0:
                raise OSError("closed")
            else:
                self.heard_ms = now_ms()
                if got == len(data):
                    return True
                data = data[got:]

    def _send(self, data):
        while len(data):
            sent = self._sock.write(data)
            if sent:
                self.said_ms = now_ms()
                data = data[sent:]
            else:
                self._wait(select.POLLOUT)

    def _wait(self, event=0):
        """Until there is something to read, or the socket is ready for `event`.

        OSError("silent") at the deadline.
        """
        poll = self._poll
        sock = self._sock
        if event:
            poll.modify(sock, event)
        began = now_ms()
        while not self.stopping:
            now = now_ms()
            ms = min(ticks.diff(self.until, now), self.byte_ms - ticks.diff(now, began))
            if ms <= 0:
                break
            for _ in poll.ipoll(min(ms, _STEP_MS)):
                if event:
                    poll.modify(sock, select.POLLIN)
                return
        raise OSError("silent")


def _close(sock):
    if sock is not None:
        try:
            sock.close()
        except OSError:
            pass


def address_of(host):
    """The IPv4 address of a name as text. OSError: it is not found. Blocks as long as DNS does."""
    place = socket.getaddrinfo(host, 0, socket.AF_INET, socket.SOCK_STREAM)[0][-1]
    if isinstance(place, tuple):
        return place[0]
    return "{}.{}.{}.{}".format(*bytes(place)[4:8])  # the unix port: a C structure
