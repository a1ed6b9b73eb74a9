"""A backlog of 10,000 records through a real Mosquitto, and what the tick feels of the uplink.

The baseline sends the same records as umqtt.simple users do: one QoS 1 publish for each.
"""

from __future__ import annotations

import getpass
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import paho.mqtt.client as mqtt

from tools.bench.broker import Broker
from tools.bench.link import Link
from tools.benchmarks.charger import ask, free_port
from tools.benchmarks.table import Row
from tools.virtual import image, process
from tools.virtual.process import STOCK_PARTITIONS, VirtualBoard

RECORDS = 10000
PLAIN = 1000  # of the same records, one by one: it takes 45 s, and nothing changes after that
_JOURNAL = 0x380000
PARTITIONS = (
    *STOCK_PARTITIONS[:-1],
    (1, 129, 0x200000, _JOURNAL - 0x200000, "vfs", False),
    (1, 64, _JOURNAL, 0x400000 - _JOURNAL, "journal", False),
)
SETTINGS = {
    "board": "smartevse_v3",
    "charger_id": "bench",
    "wifi_ssid": "holdfast-test",
    "cloud_host": "cloud.bench",
    "cloud_tls": False,
    "hint_host": "hint.bench",  # 127.0.0.1: a window of a second
    "ntp_host": "",
    "watchdog_s": 60,
}
# The charger's own count starts anew with each status that it publishes.
_METER = """
tick = charger.tick
gap = main.gap = [-1, 0]

def metered(now):
    if gap[0] >= 0:
        gap[1] = max(gap[1], now - gap[0])
    gap[0] = now
    tick(now)

charger.tick = metered
result = 0
"""
_GAP = """
result = main.gap[1]
main.gap[1] = 0
"""
_SPAN_S = 4
_SPANS = 3
_LOOK_S = 0.1
_RECORD = """
from firmware.briefly import briefly
journal = charger.recorder.journal
values = (1, 123456, 4321, 1234, False)
number, body = briefly("firmware.journal.fields").pack("checkpoint", values)
for n in range(500):
    journal.append_packed(number, body, n)
result = 0
"""

# A checkpoint of a session, as it goes up; each in a message of its own.
_PLAIN = """
import time
from umqtt.simple import MQTTClient
client = MQTTClient("plain", "127.0.0.1", int(%r))
client.connect()
line = %r
size = 0
began = time.ticks_ms()
for n in range(%d):
    client.pid &= 0x7FFF
    payload = '{"epoch":1234567890,"records":[' + line + "]}"
    client.publish("holdfast/plain/sessions", payload, qos=1)
    size += len(payload) + len("holdfast/plain/sessions") + 7
print(time.ticks_diff(time.ticks_ms(), began), size)
"""


class _Cloud:
    """Grants everything, acks what has come, and counts it."""

    def __init__(self, port):
        self.seen = set()
        self.through = 0
        self.last = ""
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="cloud")
        self.client.on_message = self._take
        self.client.on_connect = lambda client, *_: client.subscribe("holdfast/bench/+", 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def say(self, topic, **content):
        self.client.publish("holdfast/" + topic, json.dumps(content), 1)

    def beat(self):
        self.say("fleet/heartbeat", utc=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    def _take(self, _client, _what, message):
        suffix = message.topic.rpartition("/")[2]
        if suffix not in ("sessions", "events"):
            return
        content = json.loads(message.payload)
        for record in content["records"]:
            self.seen.add(record["seq"])
            if record.get("kind") == "checkpoint":
                self.last = json.dumps(record, separators=(",", ":"))
        while self.through + 1 in self.seen:
            self.through += 1
        self.say("bench/ack", epoch=content["epoch"], through=self.through)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class _Rig:
    """A charger on the virtual board, its way to a broker with and without TLS, and a cloud."""

    def __init__(self, folder):
        self.port, tls_port = free_port(), free_port()
        certificate, key = _certificate(folder)
        listener = (
            f"listener {tls_port} 127.0.0.1", f"certfile {certificate}", f"keyfile {key}",
            # As root it would give its rights away, and with them those to the key.
            f"user {getpass.getuser()}",
        )  # fmt: skip
        self.broker = Broker(self.port, folder, listener)
        self.link = Link(self.port)
        self.cloud = _Cloud(self.port)
        files = image.charger_files("packaged") | {"tls/ca.pem": certificate.read_bytes()}
        flash = image.build_image(folder / "flash", "packaged", files, SETTINGS, PARTITIONS)
        hosts = {
            "cloud.bench": ("127.0.0.1", self.link.port),
            "tls.bench": ("127.0.0.1", tls_port),
            "hint.bench": ("127.0.0.1", 0),
        }
        self.board = VirtualBoard(
            "packaged", flash, ports={80: free_port()}, hosts=hosts, partitions=PARTITIONS
        )

    def close(self):
        self.board.close()
        self.cloud.close()
        self.link.close()
        self.broker.close()

    def worker(self, expression):
        return ask(self.board, f"worker = charger.uplink.worker\nresult = worker.{expression}")

    def reach(self, there):
        self.board.set_world(cloud=there)
        self.link.set(True, there)

    def settle(self):
        """Connected, and online."""
        _wait(lambda: self.worker("state") == "connected", 60)
        self.cloud.beat()
        _wait(lambda: ask(self.board, "result = charger.access.online"), 30)

    def look(self):
        """What watching costs the charger, in each of the states alike."""
        self.worker("state")
        time.sleep(_LOOK_S)

    def gap_ms(self, during):
        """Longest time between two ticks in four seconds: the median of some such spans.

        `during` is called over and over meanwhile.
        """
        found = []
        for _ in range(_SPANS):
            ask(self.board, _GAP)
            end = time.monotonic() + _SPAN_S
            while time.monotonic() < end:
                during()
            found.append(ask(self.board, _GAP))
        return statistics.median(found)

    def attempt(self, count):
        """Let the charger make another attempt at once, and wait until `count` has grown."""
        before = self.worker(count)
        again = "backoff.stable(), setattr(worker, 'target', worker.target[:2] + worker.target[2:])"
        self.worker(again)
        deadline = time.monotonic() + 30
        while self.worker(count) == before:
            assert time.monotonic() < deadline, "no attempt"
            time.sleep(_LOOK_S)


def _certificate(folder):
    """A certificate for tls.bench that is its own authority, and its key: two files."""
    certificate, key = folder / "tls.pem", folder / "tls_key.pem"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    name = ("-subj", "/CN=tls.bench", "-addext", "subjectAltName=DNS:tls.bench")
    files = ("-keyout", key, "-out", certificate)
    command = ["openssl", "req", "-x509", *curve, *name, "-days", "2", *files]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return certificate, key


def measure():
    with tempfile.TemporaryDirectory() as name:
        rig = _Rig(pathlib.Path(name))
        try:
            return _measure(rig)
        finally:
            rig.close()


def _measure(rig):
    board = rig.board
    board.power_on()
    board.wait_serial("holdfast: running", 30)
    ask(board, _METER)
    rig.settle()
    idle_ms = rig.gap_ms(rig.look)
    rig.reach(False)
    refused_ms = rig.gap_ms(lambda: rig.attempt("backoff.failures"))
    rig.reach(True)
    rig.settle()
    connecting_ms = rig.gap_ms(lambda: rig.attempt("connections"))
    _choose(rig, "tls.bench", True)
    tls_ms = rig.gap_ms(lambda: rig.attempt("connections"))

    rig.reach(False)
    _choose(rig, "cloud.bench", False)
    for _ in range(RECORDS // 500):
        ask(board, _RECORD)
    last = ask(board, "result = charger.recorder.journal.last_seq")
    rig.reach(True)
    rig.settle()
    up = rig.link.bytes_up
    began = time.monotonic()
    rig.cloud.say("bench/grant", records=RECORDS * 2)
    uploading_ms = rig.gap_ms(rig.look)
    assert rig.cloud.through < last, "it was all uploaded before the gap was measured"
    _wait(lambda: rig.cloud.through >= last, 600)
    took_s = time.monotonic() - began
    size = rig.link.bytes_up - up
    plain_s, plain_size = _plain(rig.port, rig.cloud.last)

    named = "one QoS 1 publish a record"
    rows = [
        Row(f"records a second, {last:,} of them", last / took_s, "1/s", named, PLAIN / plain_s),
        Row("bytes on the wire a record", size / last, "B", named, plain_size / PLAIN),
    ]
    for what, value in (
        ("being refused", refused_ms),
        ("connecting", connecting_ms),
        ("connecting through TLS", tls_ms),
        ("uploading", uploading_ms),
    ):
        rows.append(Row(f"longest tick gap while {what}", value, "ms", "idle", idle_ms))
    return rows


def _choose(rig, host, tls):
    """Another broker, and connected to it if it is there."""
    changes = {"cloud_host": host, "cloud_tls": tls}
    ask(rig.board, f"charger.settings.set_many({changes!r})\nresult = 0")
    _wait(lambda: rig.worker("place")[0] == host, 10)
    if rig.board.world["cloud"]:
        _wait(lambda: rig.worker("state") == "connected", 60)


def _wait(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.05)


def _plain(port, line):
    """[seconds, bytes] of the baseline, on the same broker."""
    done = subprocess.run(
        [process.interpreter_path("packaged"), "-c", _PLAIN % (str(port), line, PLAIN)],
        env={"MICROPYPATH": f"{process.ROOT / 'lib'}:.frozen"},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    took_ms, size = done.stdout.split()
    return int(took_ms) / 1000, int(size)
