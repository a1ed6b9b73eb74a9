"""The uplink's thread against a broker that is up to no good.

Each scenario must be survived, and said in a sentence; the 16 ms loop beside the thread must go on,
a decent broker must be found again, and the memory must be what it was. umqtt is met as it is on
devices: with its assertions, and compiled without.
"""

import concurrent.futures
import contextlib
import functools
import random
import socket
import struct
import tempfile
import threading
import time

import pytest
from certificates import Certificates
from conftest import Interpreter
from hostile_broker import (
    CONNACK,
    CONNECT,
    PINGREQ,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    Broker,
    Gone,
    decent,
    publish,
)
from uplink_device import COMMAND, HERE, LONGEST_GAP_MS, SHORT, WITHIN_S, Device, wait_for

KEPT = 400  # bytes that a scenario may leave behind

SILENT = "The broker did not answer in time."
CLOSED = "The broker closed the connection."
BROKEN = "The broker sent what MQTT does not allow."
FULL = "The charger did not take the broker's messages in time."
OFF = "The broker broke the connection off."


def says(*pieces, apart_s=0.0, then=Gone):
    """Behaviour: after CONNECT, send these pieces; then close (Gone), or wait (None)."""

    def behave(peer):
        peer.expect(CONNECT)
        send_apart(peer, pieces, apart_s, then)

    return behave


def goes_on(*pieces, apart_s=0.0, then=None):
    """Behaviour: the same once the charger is connected."""

    def behave(peer):
        peer.welcome()
        send_apart(peer, pieces, apart_s, then)

    return behave


def send_apart(peer, pieces, apart_s, then):
    for piece in pieces:
        peer.send(piece)
        if apart_s:
            time.sleep(apart_s)
    if then is Gone:
        raise Gone
    if then:
        then(peer)
    peer.wait()


def answers_publish(answer):
    """Behaviour: decent up to the first PUBLISH, which gets `answer(peer, packet id)`.

    If that returns bytes, they are sent; then the broker waits.
    """

    def behave(peer):
        peer.welcome()
        while True:
            kind, body = peer.packet()
            if kind >> 4 == 3:
                at = 2 + struct.unpack("!H", body[:2])[0]
                peer.send(answer(peer, body[at : at + 2]) or b"")
                peer.wait()
            peer.answer(kind, body)

    return behave


def answers_subscribe(answer):
    """Behaviour: `answer(packet id)` is sent for the third SUBSCRIBE."""

    def behave(peer):
        peer.greet()
        peer.subscribe(2)
        peer.send(answer(peer.expect(SUBSCRIBE)[:2]))
        peer.wait()

    return behave


def floods(make):
    """For `answers_publish`: `make(n)` for ever, as fast as the charger takes it."""

    def answer(peer, pid):
        n = 0
        while True:
            peer.send(b"".join(make(n + k) for k in range(50)))
            n += 50

    return answer


def resets(peer):
    peer.welcome()
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.sock.close()
    raise Gone


def silent(peer):
    peer.wait()


def garbage(peer, after_welcome):
    if after_welcome:
        peer.welcome()
    else:
        peer.expect(CONNECT)
    peer.send(random.Random(peer.broker.connections * 7919).randbytes(3000))
    peer.wait()


HELLO = bytes([CONNACK, 2, 0, 0])
WHOLE = publish(COMMAND, b'{"do": "stop"}', 1)
LONG = publish(COMMAND, bytes(1000))

# name: (behaviour, what the charger says; None: it may be any of several)
AT_THE_START = {
    "closes at once": (lambda peer: None, (CLOSED, OFF)),
    "silent from the start": (silent, SILENT),
    "silent after CONNECT": (says(then=None), SILENT),
    "closes after CONNECT": (says(), CLOSED),
    "half a CONNACK": (says(HELLO[:2], then=None), SILENT),
    "half a CONNACK, closed": (says(HELLO[:3]), CLOSED),
    "CONNACK of 3 bytes": (says(b"\x20\x03\0\0\0"), BROKEN),
    "CONNACK of none": (says(b"\x20\0"), BROKEN),
    "CONNACK of 268 MB": (says(b"\x20\xff\xff\xff\x7f"), BROKEN),
    "length without an end": (says(b"\x20" + b"\xff" * 50), BROKEN),
    "SUBACK for CONNACK": (says(b"\x90\x03\0\1\1"), BROKEN),
    "PUBLISH for CONNACK": (says(publish("a", b"b")), BROKEN),
    "PUBLISH that looks like CONNACK": (says(b"\x30\x02\0\0", then=None), BROKEN),
    "PINGRESPs for CONNACK": (says(*[b"\xd0\0"] * 40, apart_s=0.1, then=None), SILENT),
    "garbage for CONNACK": (functools.partial(garbage, after_welcome=False), None),
    "HTTP": (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), BROKEN),
    "SUBACK of a wrong id": (answers_subscribe(lambda pid: b"\x90\x03\x77\x77\1"), BROKEN),
    "SUBACK of 4 bytes": (answers_subscribe(lambda pid: b"\x90\x04" + pid + b"\1\1"), BROKEN),
    "SUBACK of 2 bytes": (answers_subscribe(lambda pid: b"\x90\x02" + pid), BROKEN),
    "half a SUBACK": (answers_subscribe(lambda pid: b"\x90\x03" + pid), SILENT),
    "no SUBACK": (answers_subscribe(lambda pid: b""), SILENT),
    "PUBACK for SUBACK": (answers_subscribe(lambda pid: b"\x40\x02" + pid), BROKEN),
    "SUBACK with a long length": (answers_subscribe(lambda p: b"\x90\x83\0" + p + b"\1"), BROKEN),
    "another CONNACK": (answers_subscribe(lambda pid: HELLO), BROKEN),
}
CONNECTED = {
    "resets": (resets, (OFF, CLOSED)),
    "closes": (goes_on(then=Gone), CLOSED),
    "never answers a ping": (goes_on(), SILENT),
    "half a PUBLISH": (goes_on(WHOLE[: len(WHOLE) // 2]), SILENT),
    "half a PUBLISH, closed": (goes_on(WHOLE[:3], then=Gone), CLOSED),
    "a PUBLISH that takes for ever": (goes_on(LONG[:9], *[b"x"] * 99, apart_s=0.1), SILENT),
    "PUBLISH of 256 MB": (goes_on(b"\x30\xff\xff\xff\x7f\0\1a"), BROKEN),
    "PUBLISH of 64 KB and a byte": (goes_on(publish("a", bytes(65534))), BROKEN),
    "length of five bytes": (goes_on(b"\x30\xff\xff\xff\xff\1"), BROKEN),
    "length of five bytes, for a small number": (
        goes_on(b"\x30\x8a\x80\x80\x80\0\0\1a" + bytes(20)),
        BROKEN,
    ),
    "PUBLISH of QoS 2": (goes_on(publish(COMMAND, b"{}", 2)), BROKEN),
    "PUBLISH of QoS 3": (goes_on(publish(COMMAND, b"{}", 3)), BROKEN),
    "empty PUBLISH": (goes_on(b"\x30\0"), BROKEN),
    "PUBLISH of one byte": (goes_on(b"\x30\1\0"), BROKEN),
    "topic longer than its packet": (goes_on(b"\x30\x04\0\x03ab"), BROKEN),
    "topic of 64 KB": (goes_on(b"\x30\x04\xff\xffab"), BROKEN),
    "QoS 1 without a packet id": (goes_on(b"\x32\x03\0\x01a"), BROKEN),
    "PUBACK for nothing": (goes_on(b"\x40\x02\0\1"), BROKEN),
    "SUBACK for nothing": (goes_on(b"\x90\x03\0\1\1"), BROKEN),
    "CONNACK for nothing": (goes_on(HELLO), BROKEN),
    "PUBREC": (goes_on(b"\x50\x02\0\1"), BROKEN),
    "PUBREL": (goes_on(b"\x62\x02\0\1"), BROKEN),
    "PUBCOMP": (goes_on(b"\x70\x02\0\1"), BROKEN),
    "UNSUBACK": (goes_on(b"\xb0\x02\0\1"), BROKEN),
    "a packet that only clients send": (goes_on(b"\xc0\0"), BROKEN),
    "type 0": (goes_on(bytes(20)), BROKEN),
    "type 15": (goes_on(b"\xf0\0"), BROKEN),
    "type 0, shaped like a PUBACK": (goes_on(b"\x00\x02\0\5"), BROKEN),
    "PINGRESP of one byte": (goes_on(b"\xd0\x01\0"), BROKEN),
    "garbage": (functools.partial(garbage, after_welcome=True), None),
}
PUBLISHING = {
    "no PUBACK": (answers_publish(lambda peer, pid: b""), SILENT),
    "closes": (answers_publish(lambda peer, pid: peer.sock.close()), (CLOSED, OFF)),
    "half a PUBACK": (answers_publish(lambda peer, pid: b"\x40\x02" + pid[:1]), SILENT),
    "PUBACK of a wrong id": (answers_publish(lambda peer, pid: b"\x40\x02\x77\x77"), BROKEN),
    "PUBACK of 3 bytes": (answers_publish(lambda peer, pid: b"\x40\x03" + pid + b"\0"), BROKEN),
    "PUBACK of 1 byte": (answers_publish(lambda peer, pid: b"\x40\x01" + pid[:1]), BROKEN),
    "PUBACK of 268 MB": (answers_publish(lambda peer, pid: b"\x40\xff\xff\xff\x7f"), BROKEN),
    "PUBACK with a long length": (answers_publish(lambda peer, pid: b"\x40\x82\0" + pid), BROKEN),
    "PUBACK of QoS 1": (answers_publish(lambda peer, pid: b"\x42\x02" + pid), BROKEN),
    "SUBACK for PUBACK": (answers_publish(lambda peer, pid: b"\x90\x03" + pid + b"\1"), BROKEN),
    "PUBREC for PUBACK": (answers_publish(lambda peer, pid: b"\x50\x02" + pid), BROKEN),
    "PUBACKs without end": (
        answers_publish(floods(lambda n: struct.pack("!HH", 0x4002, n & 0xFFFF))),
        BROKEN,
    ),
    "PINGRESPs without end": (answers_publish(floods(lambda n: b"\xd0\0")), SILENT),
    "messages without end": (
        answers_publish(floods(lambda n: publish("holdfast/fleet/x", b"%d" % n))),
        (SILENT, FULL),
    ),
    "long messages without end": (
        answers_publish(floods(lambda n: publish("a", bytes(9000), 1, n + 1))),
        SILENT,
    ),
    "messages now and then": (
        answers_publish(lambda peer, pid: send_apart(peer, [publish("a", b"b")] * 99, 0.1, None)),
        SILENT,
    ),
}


def endure(name, option, table, meanwhile=None):
    """Each scenario of `table`: it is survived, said, and over; then a decent broker again.

    It is waiting for the most part: three chargers share the work.
    """
    rows = list(table.items())
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        parts = [
            pool.submit(endure_these, name, option, rows[first::3], meanwhile) for first in range(3)
        ]
        for part in parts:
            part.result()


def endure_these(name, option, rows, meanwhile):
    gaps, left = {}, {}
    with Broker(receive_buffer=4096) as broker, Device(Interpreter(name), option) as device:
        device.do(SHORT)
        with socket.socket() as nobody:
            nobody.bind((HERE, 0))
            device.go(nobody.getsockname()[1])
            device.until("worker.why")  # its words are in memory from now on
        device.connect(broker.port)
        device.put("events", b"first")
        device.until("not len(worker.up)")
        clean = device.memory(within_s=0.3)
        device.do("gap_ms()")
        time.sleep(0.3)  # to measure what is usual
        gaps["idle"] = device.ask("gap_ms()")
        for scenario, (behave, sentences) in rows:
            sentences = (sentences,) if isinstance(sentences, str) else sentences
            # A gap, or a silence, can also be the machine's: then it is not there the next time.
            for _ in range(3):
                why, gaps[scenario] = play(device, broker, behave, meanwhile)
                said = sentences is None or why in sentences
                if said and gaps[scenario] < LONGEST_GAP_MS:
                    break
            assert said, (scenario, why)
            broker.behave = decent
            broker.packets.clear()
            device.connect(broker.port)
            device.put("events", scenario.encode())
            wait_for(lambda: any(k == 0x32 for k, _ in broker.packets), scenario)
            told = next(body for kind, body in broker.packets if kind == 0x32)
            assert told.endswith(scenario.encode()), (scenario, broker.packets)
            device.do("messages.clear()")
            left[scenario] = device.memory(clean + KEPT) - clean
        assert device.ask("places") == []
    worst = max(gaps, key=gaps.get)
    most = max(left, key=left.get)
    print(
        name, f"{len(rows)} scenarios; longest gap idle {gaps['idle']} ms, then at most",
        f"{gaps[worst]} ms ({worst}); left over at most {left[most]} bytes ({most})",
    )  # fmt: skip
    assert gaps[worst] < LONGEST_GAP_MS, gaps
    assert left[most] < KEPT, left


def play(device, broker, behave, meanwhile):
    """One scenario up to what the charger says of it: that, and the longest gap of its loop."""
    broker.behave = behave
    broker.packets.clear()
    count = device.ask("worker.connections")
    device.do("gap_ms()")
    device.go(broker.port)
    if meanwhile:
        device.until(f"worker.connections > {count}")
        device.do(meanwhile)
    why = device.until("worker.why")
    assert device.until("worker.state in ('waiting', 'refused')")
    assert device.ask("worker.running")
    return why, device.ask("gap_ms()")


# umqtt with its assertions, as in its authors' tests, and without, as compiled for the device: both
# on each interpreter in make soak.
KINDS = [
    pytest.param("board", "-O3", id="board"),
    pytest.param("packaged", "-O0", id="packaged"),
    pytest.param("board", "-O0", id="board with assertions", marks=pytest.mark.soak),
    pytest.param("packaged", "-O3", id="packaged without assertions", marks=pytest.mark.soak),
]
each_kind = pytest.mark.parametrize("name, option", KINDS)


@each_kind
def test_hostile_from_the_start(name, option):
    endure(name, option, AT_THE_START)


@each_kind
def test_hostile_once_connected(name, option):
    endure(name, option, CONNECTED)


@each_kind
def test_hostile_while_publishing(name, option):
    publishing = "worker.up.put(('events', b'x' * 500, 1, False))"
    endure(name, option, PUBLISHING, publishing)


@each_kind
def test_a_broker_that_reads_nothing(name, option):
    """The messages fill every buffer on the way; then the deadline for a byte holds for writing."""
    lots = "[worker.up.put(('events', bytes(60000), 0, False)) for _ in range(8)] * 0"

    def reads_nothing(peer):
        peer.welcome()
        time.sleep(WITHIN_S)

    with Broker(receive_buffer=4096) as broker, Device(Interpreter(name), option) as device:
        device.do(SHORT)
        broker.behave = reads_nothing
        count = 0
        device.connect(broker.port)
        while not (why := device.ask("worker.why")):
            device.do(lots)
            count += 1
            assert count < 10000
        assert why == SILENT
        print(name, "longest gap", device.ask("gap_ms()"), "ms")


@each_kind
def test_a_broker_that_reads_slowly(name, option):
    """What does not fit into the buffers on the way is sent in pieces, and whole."""
    reads = threading.Event()

    def reads_slowly(peer):
        peer.welcome()
        assert reads.wait(WITHIN_S)
        peer.serve()

    with Broker(receive_buffer=4096) as broker, Device(Interpreter(name), option) as device:
        broker.behave = reads_slowly
        device.connect(broker.port)
        device.do("ramp = bytes(at % 251 for at in range(50000))")
        count = waited = 0
        while waited < 30:
            if device.ask(f"worker.up.put(('events', ramp[{count % 251}:], 0, False))"):
                count += 1
                waited = 0
            else:
                waited += 1
                time.sleep(0.01)  # the device is stuck for good when all of these have passed
            assert count < 2000
        reads.set()
        wait_for(lambda: len(broker.packets) >= 5 + count, "not all came")
        ramp = bytes(at % 251 for at in range(50000))
        sent = [body for kind, body in broker.packets if kind == PUBLISH]
        for n, body in enumerate(sent):
            assert body.endswith(b"events" + ramp[n % 251 :]), n
        assert len(sent) == count
        assert device.ask("[worker.connections, worker.why]") == [1, None]


def test_each_deadline_alone(interpreter):
    """For a byte, for the whole, and none at all for an owner who wants to stop."""
    with Broker() as broker, Device(interpreter) as device:
        broker.behave = says(HELLO[:2], then=None)
        device.do("worker.transport.byte_ms, worker.connect_ms = 250, 60000")
        device.go(broker.port)
        assert device.until("worker.why", 5) == SILENT
        device.do("worker.transport.byte_ms, worker.connect_ms = 60000, 250")
        device.go(broker.port)
        assert device.until("worker.why", 5) == SILENT
        # What ends while the WiFi is away is nobody's failure.
        device.do("worker.transport.byte_ms, worker.connect_ms = 400, 60000")
        count = broker.connections
        device.go(broker.port)
        wait_for(lambda: broker.connections > count, "no attempt")
        device.do("worker.wifi_up = False")
        device.until("worker.state == 'no-wifi'", 5)
        assert device.ask("[worker.why, worker.backoff.failures]") == [None, 0]
        device.do("worker.wifi_up = True; worker.transport.byte_ms = 60000")
        count = broker.connections
        device.go(broker.port)
        wait_for(lambda: broker.connections > count, "no attempt")
        device.do("worker.stop()")
        device.until("not worker.running", 2)


@each_kind
def test_messages_that_nobody_takes(name, option):
    """Rather than lose one it loses the connection; those that it has are still there."""
    with Broker() as broker, Device(Interpreter(name), option) as device:
        device.do(SHORT)
        device.do("taking = False")
        broker.behave = goes_on(
            *[publish(COMMAND, b"%d" % n, 1) for n in range(8)], then=lambda peer: peer.serve()
        )
        device.go(broker.port)
        assert device.until("worker.why") == FULL
        # 0 to 2 are in the mailbox, and were acknowledged; 3 was not.
        wait_for(lambda: sum(k == PUBACK for k, _ in broker.packets) == 3, broker.packets)
        device.do("taking = True")
        device.until("len(messages) == 3")
        assert [p for _, p in device.ask("received()")] == ["0", "1", "2"]
        broker.behave = decent
        device.connect(broker.port)


def test_pings(interpreter):
    """One when nothing was sent for long, one when nothing was heard; an answer is anything."""

    def pings():
        return sum(kind == PINGREQ for kind, _ in broker.packets)

    def talks(peer):
        peer.welcome()
        peer.sock.settimeout(0.05)
        for _ in range(100):
            peer.send(publish("holdfast/fleet/heartbeat", b"{}"))
            with contextlib.suppress(Gone):  # nothing there yet
                peer.packet()
            if pings() == 2:
                break
        peer.sock.settimeout(WITHIN_S)
        peer.wait()

    with Broker() as broker, Device(interpreter) as device:
        device.do(SHORT)
        broker.behave = talks
        device.go(broker.port)
        assert device.until("worker.why") == SILENT
        # Two while it talks, and the messages are the answer; the third gets none.
        assert pings() == 2

        broker.behave = goes_on()
        device.connect(broker.port)
        count = 0
        while not (why := device.ask("worker.why")):
            device.put("events", b"%d" % count, 0)
            count += 1
            assert count < 10000
        assert why == SILENT


@each_kind
def test_odd_but_lawful(name, option):
    """Every byte alone, in both directions of a connection that is otherwise decent."""

    def drips(peer):
        send = peer.send
        peer.send = lambda data: [send(data[at : at + 1]) for at in range(len(data))]
        peer.greet()
        peer.send(publish("holdfast/fleet/window", b"before SUBACK", 1, 65535))
        peer.subscribe()
        peer.send(b"\xd0\0")  # nobody asked for it
        peer.send(publish(COMMAND, b""))
        peer.send(publish(COMMAND, b"", 1, 1))
        peer.send(publish(COMMAND, bytes(1024), 1, 2))
        peer.send(publish(COMMAND, bytes(1025), 1, 3))
        peer.send(publish("", b"no topic"))
        peer.send(publish("t" * 1024, b"long topic"))
        peer.send(publish("t" * 1025, b"too long a topic"))
        peer.send(publish("a", bytes(65533)))
        peer.send(b"\x3b\x86\x80\x80\0\0\1a\0\4b")  # retained, again, length in four bytes
        peer.send(publish(COMMAND, b"last", 1, 9))
        peer.serve()

    with Broker() as broker, Device(Interpreter(name), option) as device:
        broker.behave = drips
        device.connect(broker.port)
        device.until("len(messages) == 8")
        assert device.ask("received()") == [
            ["holdfast/fleet/window", "before SUBACK"],
            [COMMAND, ""],
            [COMMAND, ""],
            [COMMAND, 1024],
            ["", "no topic"],
            ["t" * 1024, "long topic"],
            ["a", "b"],
            [COMMAND, "last"],
        ]
        acked = [65535, 1, 2, 3, 4, 9]  # what was skipped as well
        wait_for(lambda: sum(k == PUBACK for k, _ in broker.packets) == len(acked), broker.packets)
        pids = [struct.unpack("!H", body)[0] for kind, body in broker.packets if kind == PUBACK]
        assert pids == acked
        assert device.ask("[worker.skipped, worker.connections, worker.why]") == [3, 1, None]
        device.put("events", b"x" * 2000)
        device.until("not len(worker.up)")
        wait_for(lambda: any(k == PUBLISH | 2 for k, _ in broker.packets), "nothing came")


def test_packet_ids_wrap(interpreter):
    with Broker() as broker, Device(interpreter) as device:
        device.connect(broker.port)
        device.do("worker._client.pid = 65530")
        for n in range(20):
            device.put("events", b"%d" % n)
        wait_for(lambda: sum(k == PUBLISH | 2 for k, _ in broker.packets) == 20, broker.packets)
        pids = [
            struct.unpack("!H", body[2 + body[1] :][:2])[0]
            for kind, body in broker.packets
            if kind == PUBLISH | 2
        ]
        assert pids == [*range(65531, 65535), *range(1, 17)]
        assert device.ask("[worker.connections, worker.why]") == [1, None]


CONNACKS = {  # the state, and the seconds to the next attempt with a window of 1 s
    1: ("refused", 450, "The broker does not speak MQTT 3.1.1."),
    2: ("refused", 450, "The broker does not accept this charger's id."),
    3: ("waiting", 45, "The broker is busy and takes no connections just now."),
    4: ("refused", 450, "The broker does not accept this user and password."),
    5: ("refused", 450, "The broker does not let this charger in."),
    6: ("waiting", 4, "The broker refused with code 6."),
    128: ("refused", 450, "The broker does not let this charger subscribe."),
    255: ("waiting", 4, "The broker refused with code 255."),
}


def test_refusals(interpreter):
    with Broker() as broker, Device(interpreter) as device:
        for code, expected in CONNACKS.items():
            broker.behave = says(b"\x20\2\0" + bytes([code]))
            if code == 128:
                broker.behave = answers_subscribe(lambda pid: b"\x90\3" + pid + b"\x80")
            device.go(broker.port)
            device.until("worker.why and worker.left_s")
            told = device.ask("[worker.state, worker.left_s, worker.why]")
            assert told == list(expected), (code, told)
        broker.behave = decent
        device.connect(broker.port)


def test_hostile_tls():
    """Whatever answers the handshake: the charger says what, and sends nothing but its own part."""

    def answers(data, then=None):
        def behave(peer):
            hello = peer.bytes(5)
            assert hello[:1] == b"\x16", hello
            send_apart(peer, data, 0.1 if len(data) > 1 else 0, then)

        return behave

    half = b"\x16\3\3\x10\0\2\0\x0f\xfc\3\3"
    failed, refused = "TLS with broker.test failed", "The broker refused the TLS connection"
    behaviours = {
        "silent": (answers([]), SILENT),
        "closes": (answers([], Gone), "The broker "),
        "closes at once": (lambda peer: None, "The broker "),
        "MQTT": (answers([HELLO * 9]), failed),
        "alert": (answers([b"\x15\3\3\0\2\2\x28"]), refused),
        "garbage": (answers([random.Random(1).randbytes(999)]), failed),
        "half": (answers([half]), SILENT),
        "half, then slow": (answers([half, *[b"\3"] * 40]), SILENT),
    }
    with tempfile.TemporaryDirectory() as folder, Broker() as broker:
        Certificates(folder)
        with Device(Interpreter("packaged")) as device:
            device.do(SHORT + f"; broker.FOLDER = {folder + '/'!r}")
            device.do("worker.transport.byte_ms, worker.connect_ms = 1000, 2000")
            device.connect(broker.port)
            clean = device.memory(within_s=0.3)
            gaps = {}
            for name, (behave, sentence) in behaviours.items():
                broker.behave = behave
                for _ in range(3):  # as in `endure`
                    device.do("gap_ms()")
                    device.go(broker.port, "broker.test", tls=True)
                    why = device.until("worker.why")
                    assert why.startswith(sentence), (name, why)
                    gaps[name] = device.ask("gap_ms()")
                    if gaps[name] < LONGEST_GAP_MS:
                        break
            broker.behave = decent
            device.connect(broker.port)
            left = device.memory(clean + 4 * KEPT) - clean
            print(f"longest gap {max(gaps.values())} ms, {left} bytes left over")
            assert max(gaps.values()) < LONGEST_GAP_MS and left < 4 * KEPT, gaps
