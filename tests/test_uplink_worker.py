"""The uplink's thread against real Mosquittos, its waits, its errors and its memory.

Each test steers a worker in a MicroPython process (tests/uplink_device.py). What a hostile broker
can do to it is in test_uplink_hostile.py.
"""

import random
import socket
import subprocess

import paho.mqtt.client as mqtt
import pytest
from certificates import Certificates
from hostile_broker import Broker
from mosquitto import Mosquitto
from uplink_device import COMMAND, HERE, WITHIN_S, Device, wait_for

from tools.firmware_files import firmware_files

CALM_MS = 1000  # a gap that only a loaded machine makes: the deadlines here are ten times as long


class Observer:
    """A client of the test's own; `seen` are topic, payload, retained."""

    def __init__(self, port):
        self.seen = []
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda c, u, m: self.seen.append((m.topic, m.payload, m.retain))
        self.client.on_connect = lambda c, *_: c.subscribe("#", 1)
        self.client.connect(HERE, port)
        self.client.loop_start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def say(self, topic, payload, retain=False):
        self.client.publish(topic, payload, 1, retain).wait_for_publish(WITHIN_S)

    def until(self, message):
        """Wait for it: (topic, payload)."""
        wait_for(lambda: any(s[:2] == message for s in self.seen), f"{message} in {self.seen}")


# The mailbox


def test_a_mailbox_is_bounded_and_in_order(interpreter):
    """Random puts and takes against a list, and two threads that hand over 20,000 messages."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    assert interpreter.run("uplink_mailbox.py", seed).stdout == "ok\n"


# Real brokers


@pytest.mark.broker
def test_messages_through_mosquitto(interpreter, tmp_path):
    with Mosquitto(tmp_path) as broker, Device(interpreter) as device:
        with Observer(broker.port) as cloud:
            cloud.say("holdfast/fleet/window", b'{"window_s": 1}', retain=True)
            device.connect(broker.port)
            device.until("len(messages)")
            assert device.ask("received()") == [["holdfast/fleet/window", '{"window_s": 1}']]
            idle_ms = device.ask("gap_ms()")

            device.put("status", b'{"online": true}', 0, True)
            cloud.until(("holdfast/test-1/status", b'{"online": true}'))
            for n in range(20):
                device.put("events", b"%03d" % n * 300)
            cloud.until(("holdfast/test-1/events", b"019" * 300))
            numbers = [int(p[:3]) for t, p, _ in cloud.seen if t.endswith("events")]
            assert numbers == list(range(20))

            cloud.say("holdfast/test-2/command", b"not for me")
            cloud.say("holdfast/test-1/ack", b"1")
            cloud.say("holdfast/test-1/grant", b"2")
            cloud.say("holdfast/fleet/offline", b"")
            cloud.say(COMMAND, bytes(1024))
            cloud.say(COMMAND, bytes(1025))
            cloud.say(COMMAND, bytes(50000))
            cloud.say(COMMAND, b"last")
            device.until("len(messages) == 5 and worker.skipped == 2")
            assert device.ask("received()") == [
                ["holdfast/test-1/ack", "1"],
                ["holdfast/test-1/grant", "2"],
                ["holdfast/fleet/offline", ""],
                [COMMAND, 1024],
                [COMMAND, "last"],
            ]
            busy_ms = device.ask("gap_ms()")
            print(interpreter.name, f"longest gap idle {idle_ms} ms, with messages {busy_ms} ms")
            assert max(idle_ms, busy_ms) < CALM_MS
            assert device.ask("worker.connections") == 1


@pytest.mark.broker
def test_leaving_and_coming_back(interpreter, tmp_path):
    """Deliberate offline, WiFi away, another broker; and what each leaves at the broker."""
    gone = ("holdfast/test-1/status", b'{"online": false}')
    with Mosquitto(tmp_path) as broker, Device(interpreter) as device:
        with Observer(broker.port) as cloud:
            device.connect(broker.port)
            device.do("worker.paused = True")
            device.until("worker.state == 'off'")
            cloud.until(gone)
            device.do("worker.up.put(('events', b'in vain', 1, False))")
            device.do("places.append(0); worker.paused = False")
            device.until("worker.connections == 2")

            device.do("worker.wifi_up = False; worker.up.put(('events', b'too late', 1, False))")
            device.until("worker.state == 'no-wifi'")
            wait_for(lambda: len(cloud.seen) == 2, "no last will for the network that is gone")
            device.until("not len(worker.up)")
            assert device.ask("[worker.why, worker.left_s]") == [None, None]
            device.do("places.append(0); worker.wifi_up = True")
            device.until("worker.connections == 3")
            assert device.ask("worker.backoff.failures") == 0
            device.put("events", b"in time")
            cloud.until(("holdfast/test-1/events", b"in time"))
            # None of the two that were under way between connections.
            in_time = ("holdfast/test-1/events", b"in time")
            assert [s[:2] for s in cloud.seen] == [gone, gone, in_time]

            device.go(0, host="")
            device.until("worker.state == 'off'")
            wait_for(lambda: len(cloud.seen) == 4, "no last will for the broker that is left")
            assert cloud.seen[3][:2] == gone
            device.connect(broker.port)
            device.do("worker.stop()")
            device.until("not worker.running and worker.state == 'off'")
            wait_for(lambda: len(cloud.seen) == 5, "no last will at the end")
            device.connect(broker.port)  # with another thread
    log = broker.log()
    assert log.count("New client connected from") == 1 + 5, log
    assert "Received DISCONNECT from test-1" not in log, log


@pytest.mark.broker
def test_broker_killed_and_restarted(interpreter, tmp_path):
    with Mosquitto(tmp_path) as broker, Device(interpreter) as device:
        device.connect(broker.port)
        device.do("worker.backoff.stable(); gap_ms(); last_place = 16384")
        broker.kill()
        why = device.until("worker.why")
        assert why in ("The broker closed the connection.", "The broker broke the connection off.")
        # It was stable: lost, not failed, so that it is the window of 1 s alone.
        assert device.until("worker.left_s") == 1
        assert device.ask("[worker.state, worker.backoff.failures]") == ["waiting", 0]
        device.until("'connection refused' in worker.why")
        assert 1 <= device.until("worker.left_s") <= 2  # half of a window that is 4-fold now
        assert device.ask("worker.backoff.failures") == 1
        broker.start()
        within_s = device.until("worker.left_s") + 2
        device.until("worker.connections == 2", within_s)
        gap_ms = device.ask("gap_ms()")
        print(interpreter.name, f"longest gap {gap_ms} ms")
        assert gap_ms < CALM_MS
        with Observer(broker.port) as cloud:
            device.put("status", b'{"online": true}', 0, True)
            cloud.until(("holdfast/test-1/status", b'{"online": true}'))
            device.process.kill()  # its power
            device.process.wait()
            cloud.until(("holdfast/test-1/status", b'{"online": false}'))
        with Observer(broker.port) as late:
            late.until(("holdfast/test-1/status", b'{"online": false}'))
            assert late.seen[0][2], "the last will is not retained"


@pytest.mark.broker
def test_logins_that_mosquitto_refuses(interpreter, tmp_path):
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    passwords.chmod(0o600)
    program = ["mosquitto_passwd", "-b", str(passwords), "garage", "s\u00e9same"]
    subprocess.run(program, check=True, capture_output=True)
    closed = ["allow_anonymous false", f"password_file {passwords}"]
    with (
        Mosquitto(tmp_path, closed, ["max_connections 1"]) as broker,
        Device(interpreter) as device,
    ):
        for user, password in (("", ""), ("garage", "wrong-secret"), ("nobody", "s\u00e9same")):
            device.go(broker.port, user=user, password=password)
            why = device.until("worker.why")
            assert why == "The broker does not let this charger in.", why
            # half of 300 s, and the window is as long as that
            assert device.until("worker.left_s") == 450
            assert device.ask("worker.state") == "refused"
        assert device.ask("worker.backoff.refusals") == 1
        device.connect(broker.port, user="garage", password="s\u00e9same")
        assert device.ask("[worker.why, worker.backoff.refusals]") == [None, 0]

        full = broker.ports[1]
        with socket.create_connection((HERE, full)) as first:
            first.sendall(b"\x10\x0d\0\4MQTT\4\2\0<\0\1x")
            assert first.recv(4) == b"\x20\2\0\0"
            device.go(full)
            why = device.until("worker.why")
            assert "connection" in why and "broke" in why, why
        device.connect(full)


# TLS


def listener(certificates, name, *more):
    folder = certificates.folder
    return [f"certfile {folder}/{name}.pem", f"keyfile {folder}/{name}_key.pem", *more]


VERDICTS = {
    "wrong_name": "The certificate there is not for the name broker.test.",
    "expired": "The certificate of broker.test has expired, or its CA has.",
    "future": "The certificate of broker.test is not valid yet: is the clock right?",
    "unknown": "The certificate of broker.test is not signed by the CA in /tls.",
}


@pytest.mark.broker
def test_tls_with_mosquitto(interpreter, tmp_path):
    """The right certificate passes; nothing is sent to any other; a client certificate is shown."""
    certificates = Certificates(tmp_path / "made")
    tls = tmp_path / "tls"
    tls.mkdir()
    listeners = [listener(certificates, name) for name in ("good", "old", *VERDICTS)]
    asks = ("require_certificate true", "use_identity_as_username true")
    listeners.append(listener(certificates, "good", f"cafile {certificates.ca}", *asks))
    with Mosquitto(tmp_path, *listeners) as broker, Device(interpreter) as device:
        good, old, *bad, asking = broker.ports
        device.do(f"broker.FOLDER = {str(tls) + '/'!r}")
        device.go(good, "broker.test", tls=True)
        if interpreter.name == "board":
            assert device.ask("worker.why") == "TLS is on, and this MicroPython has none."
            assert device.ask("worker.running") is False
            assert "as test-1" not in broker.log()
            return
        nothing = f"TLS is on, and there is no {tls}/ca.der or ca.pem."
        assert device.ask("[worker.why, worker.state]") == [nothing, "off"]
        for ending in ("der", "pem"):
            source = certificates.ca_der if ending == "der" else certificates.ca
            (tls / f"ca.{ending}").write_bytes(source.read_bytes())
            device.connect(good, host="broker.test", tls=True)
            (tls / f"ca.{ending}").unlink()
        (tls / "ca.pem").write_bytes(certificates.ca.read_bytes())
        device.put("events", b"secret")
        gaps = {"connected": device.ask("gap_ms()")}
        wait_for(lambda: "holdfast/test-1/events" in broker.log(), "no message through TLS")
        logins = broker.log().count("as test-1")
        for port, (name, sentence) in zip(bad, VERDICTS.items(), strict=True):
            device.go(port, "broker.test", tls=True)
            why = device.until("worker.why")
            assert why == sentence, (name, why)
            gaps[name] = device.ask("gap_ms()")
        # a good certificate of an authority that is trusted, but too old
        (tls / "ca.pem").write_bytes(certificates.old_ca.read_bytes())
        device.go(old, "broker.test", tls=True)
        assert device.until("worker.why") == VERDICTS["expired"]
        (tls / "ca.pem").write_bytes(certificates.ca.read_bytes())
        # an address is no name that the certificate is for
        device.go(good, HERE, tls=True)
        assert device.until("worker.why") == "The certificate there is not for the name 127.0.0.1."
        assert broker.log().count("as test-1") == logins, "something was sent all the same"

        device.go(asking, "broker.test", tls=True)
        why = device.until("worker.why")
        # What it says of the reason arrives before the end of the connection, or it does not.
        assert "client certificate" in why or "the connection" in why, why
        for ending in ("pem", "der"):
            for name in ("client", "client_key"):
                path = certificates.folder / f"{name}.pem"
                if ending == "der":
                    path = certificates.convert(name)
                (tls / f"{name}.{ending}").write_bytes(path.read_bytes())
            device.connect(asking, host="broker.test", tls=True)
            for name in ("client", "client_key"):
                (tls / f"{name}.{ending}").unlink()
        assert "u'charger'" in broker.log(), "the certificate's name was not shown"
        print(interpreter.name, "longest gaps in ms:", gaps)
        assert max(gaps.values()) < CALM_MS
        # plain where TLS is wanted, and the other way round
        device.go(good, "broker.test")
        assert device.until("worker.why")


# Waiting


def test_the_hint_is_asked_for(interpreter):
    """Before the wait, during it, and before the attempt. Its name is an address here."""
    with Broker() as broker, Device(interpreter) as device:
        device.do("worker_module.ASK_MS = 300; worker.hint_host = '127.0.0.60'")
        where = f"{HERE!r}, {broker.port}, False, '', ''"
        device.do(f"broker.choose(worker, {where})")
        assert device.until("worker.left_s") == 60
        assert device.ask("[worker.state, worker.backoff.hint_s]") == ["waiting", 60]
        for host, window_s in (("hint.esp32.test", 9), ("unknown.esp32.test", 0), ("1.2.3.4", 0)):
            device.do(f"worker.hint_host = {host!r}")
            device.until(f"worker.backoff.hint_s == {window_s}", 2)
            device.do(f"worker.hint_host = '127.0.0.60'; broker.choose(worker, {where})")
            device.until("worker.left_s == 60 and worker.backoff.hint_s == 60")
        device.do("worker.hint_host = '127.0.0.2'")
        device.until("worker.left_s and worker.left_s <= 3", 2)
        device.until("worker.connections", 4)

        # At its end the wait turns out to be too short.
        device.do("worker_module.ASK_MS = 60000; worker.hint_host = '127.0.0.1'")
        device.do(f"broker.choose(worker, {where})")
        device.until("worker.state == 'waiting'")
        device.do("worker.hint_host = '127.0.1.0'")
        device.until("(worker.left_s or 0) > 60", 3)
        assert device.ask("[worker.connections, worker.backoff.hint_s]") == [1, 256]
        device.do(f"worker.hint_host = ''; go({where})")
        device.until("worker.connections == 2")
        assert device.ask("worker.backoff.hint_s") == 0


def test_urgency_changes_while_it_waits(interpreter):
    with Broker() as broker, Device(interpreter) as device:
        where = f"{HERE!r}, {broker.port}, False, '', ''"
        device.do("worker.backoff.window_s, worker.backoff.head_percent = 1000, 25")
        device.do(f"broker.choose(worker, {where})")
        left_s = device.until("worker.left_s")
        assert left_s == 1000
        # A later place is not taken, and what left_ms rests on stays as it was.
        kept = "[worker.backoff._range_s, worker.backoff._drawn_s, worker.backoff._wait_ms]"
        before = device.ask(kept)
        device.do("places[:] = [32766, 32767]; worker.backoff.urgency = 1")
        device.until("not places")
        device.do("places[:] = [32765]; worker.backoff.urgency = 0")
        device.until("not places")
        assert device.ask(kept) == before
        assert device.ask("worker.left_s") >= left_s - 3
        # An earlier one is.
        device.do("places[:] = [200, 100]; worker.backoff.urgency = 2")
        device.until("worker.connections == 1", 3)
        assert device.ask(kept) == [1000, 1000, 762]


def test_no_attempt_without_wifi_or_clock(interpreter):
    """Certificates have dates: without a clock none could be checked, and the cloud is spared."""
    with Broker() as broker, Device(interpreter) as device:
        where = f"{HERE!r}, {broker.port}, False, '', ''"
        device.do("worker.wifi_up = False")
        device.do(f"go({where})")
        device.until("worker.state == 'no-wifi'")
        device.do("class Fake: gmtime = lambda: (2000, 1, 1); sleep_ms = time.sleep_ms")
        device.do(
            "worker_module.time = Fake; worker.target = worker.target[:2] + (True, None, b'')"
        )
        device.do("worker.wifi_up = True")
        device.until("worker.state == 'no-clock'")
        assert broker.connections == 0
        device.do("Fake.gmtime = lambda: (2026, 11, 23)")
        wait_for(lambda: broker.connections == 1, "no attempt with a clock")
        device.until("worker.why")  # True is no SSLContext
        device.do(f"go({where})")
        device.until("worker.state == 'connected'")


# What must not end the thread


def test_it_survives_every_exception(interpreter):
    errors = {
        "bytearray(1 << 28)": "There was not enough memory for the connection.",
        "1 // 0": "ZeroDivisionError: divide by zero",
        "{}[1]": "KeyError: 1",
        "b'\\xff'.decode()": "UnicodeError: ",
    }
    with Broker() as broker, Device(interpreter) as device:
        device.do("module = worker_module")
        for code, sentence in errors.items():
            for place in ("module.simple.MQTTClient", "worker.up.take", "worker._allow"):
                device.do(f"kept = {place}; {place} = lambda *_: {code}")
                device.go(broker.port)
                why = device.until("worker.why")
                assert why.startswith(sentence), (place, why)
                device.do(f"{place} = kept")
                device.connect(broker.port)
        assert device.ask("worker.running") is True


def test_no_memory_for_the_thread(interpreter):
    with Broker() as broker, Device(interpreter) as device:
        device.do("thread = broker._thread")
        device.do("class Fake: stack_size = lambda *_: 0; start_new_thread = lambda *_: 1 // 0")
        device.do('def fail(*_): raise OSError("can\'t create thread")')
        device.do("Fake.start_new_thread = fail; broker._thread = Fake")
        device.go(broker.port)
        told = device.ask("[worker.why, worker.running, worker.state]")
        assert told == ["There was not enough memory for the connection.", False, "off"]
        device.do("broker._thread = thread")
        device.connect(broker.port)
        assert device.ask("thread.stack_size()") == 0


def test_a_stable_connection(interpreter):
    with Broker() as broker, Device(interpreter) as device:
        device.do("worker_module.STABLE_MS = 300; worker.backoff.ended(2); worker.backoff.ended(2)")
        count = device.ask("worker.connections")
        device.go(broker.port)
        device.until(f"worker.connections > {count}")
        device.until("worker.backoff.failures == -1", 3)


def test_a_name_that_is_not_found(interpreter):
    with Device(interpreter) as device:
        for name in ("unknown.esp32.test", "unknown.unix.test"):
            device.go(1883, name)
            assert device.until("worker.why").startswith(f"The name {name} was not found")


# Memory

MOST = {"code": 10800, "object": 1300, "connected": 3400, "idle_per_min": 500, "message": 1200}


def test_memory_and_allocations(interpreter, tmp_path):
    """As compiled for the device, on the board interpreter; the other has words twice as wide."""
    for name, data in firmware_files((1, 25)).items():
        path = tmp_path / name.removeprefix("lib/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with Broker() as broker:
        done = interpreter.run("uplink_cost.py", broker.port, path=(tmp_path,))
    costs = {name: int(n) for name, n in map(str.split, done.stdout.splitlines())}
    print(interpreter.name, costs)
    factor = 1 if interpreter.name == "board" else 2
    assert all(costs[name] <= most * factor for name, most in MOST.items()), costs
