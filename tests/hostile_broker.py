"""A broker whose behaviour the test writes: decent by default, as hostile as one likes.

`Broker.behave` is called with a Peer for each connection, in a thread of its own, and may send
anything. What a Peer raises because the charger has gone ends the connection and is no error.
"""

import contextlib
import socket
import struct
import threading

CONNECT, CONNACK, PUBLISH, PUBACK = 0x10, 0x20, 0x30, 0x40
SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 0x82, 0x90, 0xC0, 0xD0, 0xE0
_PATIENCE_S = 20


class Gone(Exception):
    """The charger has closed the connection."""


def length(n):
    """The remaining length of a packet, as MQTT writes it."""
    out = bytearray()
    while True:
        out.append(n & 0x7F | (0x80 if n > 0x7F else 0))
        n >>= 7
        if not n:
            return bytes(out)


def publish(topic, payload, qos=0, pid=1):
    """A whole PUBLISH."""
    body = struct.pack("!H", len(topic)) + topic.encode()
    body += struct.pack("!H", pid) if qos else b""
    body += payload
    return bytes([PUBLISH | qos << 1]) + length(len(body)) + body


class Peer:
    """One connection from the charger, seen from the broker."""

    def __init__(self, sock, broker):
        self.sock = sock
        self.broker = broker
        sock.settimeout(_PATIENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            raise Gone from None

    def bytes(self, n):
        data = b""
        while len(data) < n:
            try:
                piece = self.sock.recv(n - len(data))
            except OSError:
                piece = b""
            if not piece:
                raise Gone
            data += piece
        return data

    def packet(self):
        """The first byte and the body of the next packet; noted in the broker's `packets`."""
        kind = self.bytes(1)[0]
        size = shift = 0
        while True:
            byte = self.bytes(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        body = self.bytes(size)
        self.broker.packets.append((kind, body))
        return kind, body

    def expect(self, *kinds):
        """The body of the next packet, which must be of one of these kinds; PUBACKs may precede."""
        kind, body = self.packet()
        while kind == PUBACK and PUBACK not in kinds:
            kind, body = self.packet()
        assert kind in kinds, (hex(kind), body)
        return body

    def greet(self):
        """CONNECT and its answer."""
        self.expect(CONNECT)
        self.send(bytes([CONNACK, 2, 0, 0]))

    def subscribe(self, times=4):
        """So many SUBSCRIBEs and their answers."""
        for _ in range(times):
            pid = self.expect(SUBSCRIBE)[:2]
            self.send(bytes([SUBACK, 3]) + pid + b"\1")

    def welcome(self):
        """All that makes the charger count itself connected."""
        self.greet()
        self.subscribe()

    def answer(self, kind, body):
        """What a decent broker answers to this packet; Gone after DISCONNECT."""
        if kind == DISCONNECT:
            raise Gone
        if kind == PINGREQ:
            self.send(bytes([PINGRESP, 0]))
        elif kind >> 4 == 3 and kind & 6:
            at = 2 + struct.unpack("!H", body[:2])[0]
            self.send(bytes([PUBACK, 2]) + body[at : at + 2])

    def serve(self):
        """Be decent until the charger goes."""
        while True:
            self.answer(*self.packet())

    def wait(self):
        """Say nothing, and read nothing that matters, until the charger goes."""
        while True:
            self.bytes(1)


def decent(peer):
    peer.welcome()
    peer.serve()


class Broker:
    """Listens on `port` of the loopback address; a context manager that ends it.

    `packets` are all that came, as (first byte, body), over all connections; `connections` counts.
    What went wrong in `behave` is raised at the end.
    """

    def __init__(self, receive_buffer=None):
        self.behave = decent
        self.packets = []
        self.connections = 0
        self._failure = None
        self._peers = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        if receive_buffer:
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for sock in list(self._peers):
            _close(sock)
        if self._failure and not failed:
            raise self._failure

    def _accept(self):
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._peers.add(sock)
            threading.Thread(target=self._serve, args=(sock, self.behave), daemon=True).start()

    def _serve(self, sock, behave):
        try:
            behave(Peer(sock, self))
        except Gone:
            pass
        except Exception as e:
            self._failure = e
        self._peers.discard(sock)
        _close(sock)


def _close(sock):
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
