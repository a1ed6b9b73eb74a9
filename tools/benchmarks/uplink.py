"""A backlog of 10,000 records through a real Mosquitto, and what the tick feels of the uplink.

The baseline sends the same records as umqtt.simple users do: one QoS 1 publish for each.
"""

from __future__ import annotations

import json
import pathlib
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
_GAP = "result = charger.take_longest_gap_ms()"
_WATCH_S = 4
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
import sys
import time
from umqtt.simple import MQTTClient
client = MQTTClient("plain", "127.0.0.1", int(sys.argv[1]))
client.connect()
line = sys.argv[2]
size = 0
began = time.ticks_ms()
for n in range(int(sys.argv[3])):
    client.pid &= 0x7FFF
    payload = '{"epoch":1,"records":[' + line.replace("10000", str(n + 1)) + "]}"
    client.publish("holdfast/plain/sessions", payload, qos=1)
    size += len(payload) + len("holdfast/plain/sessions") + 7
print(time.ticks_diff(time.ticks_ms(), began), size)
"""


class _Cloud:
    """Grants everything, acks what has come, and counts it."""

    def __init__(self, port):
        self.seen = set()
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
        self.say("bench/ack", epoch=content["epoch"], through=max(self.seen))

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def _gap_ms(board, seconds=_WATCH_S):
    """The longest time between two ticks in the next seconds."""
    ask(board, _GAP)
    time.sleep(seconds)
    return ask(board, _GAP)


def measure():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        port = free_port()
        broker = Broker(port, folder)
        link = Link(port)
        cloud = _Cloud(port)
        try:
            return _measure(folder, port, link, cloud)
        finally:
            cloud.close()
            link.close()
            broker.close()


def _measure(folder, port, link, cloud):
    flash = image.build_image(
        folder / "flash", "packaged", image.charger_files("packaged"), SETTINGS, PARTITIONS
    )
    hosts = {"cloud.bench": ("127.0.0.1", link.port), "hint.bench": ("127.0.0.1", 0)}
    with VirtualBoard(
        "packaged", flash, ports={80: free_port()}, hosts=hosts, partitions=PARTITIONS
    ) as board:
        board.set_world(cloud=False)
        link.set(True, False)
        board.power_on()
        board.wait_serial("holdfast: running", 30)
        idle_ms = _gap_ms(board)
        refused_ms = _gap_ms(board)  # the link refuses every attempt
        for _ in range(RECORDS // 500):
            ask(board, _RECORD)
        last = ask(board, "result = charger.recorder.journal.last_seq")
        board.set_world(cloud=True)
        link.set(True, True)
        ask(board, "charger.uplink.worker.backoff.failures = 0\nresult = 0")
        ask(board, _GAP)
        _wait(lambda: _beat(cloud, ask(board, "result = charger.uplink.worker.state")), 600)
        _wait(lambda: ask(board, "result = charger.access.online"), 60)
        connecting_ms = ask(board, _GAP)
        up = link.bytes_up
        began = time.monotonic()
        cloud.say("bench/grant", records=RECORDS * 2)
        _wait(lambda: len(cloud.seen) >= last, 600)
        took_s = time.monotonic() - began
        size = link.bytes_up - up
        uploading_ms = ask(board, _GAP)
    plain_s, plain_size = _plain(port, cloud.last)
    named = "one QoS 1 publish a record"
    return [
        Row(f"records a second, {last:,} of them", last / took_s, "1/s", named, RECORDS / plain_s),
        Row("bytes on the wire a record", size / last, "B", named, plain_size / RECORDS),
        Row("longest tick gap while refused", refused_ms, "ms", "idle", idle_ms),
        Row("longest tick gap while connecting", connecting_ms, "ms", "idle", idle_ms),
        Row("longest tick gap while uploading", uploading_ms, "ms", "idle", idle_ms),
    ]


def _beat(cloud, state):
    if state == "connected":
        cloud.beat()
    return state == "connected"


def _wait(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.05)


def _plain(port, line):
    """[seconds, bytes] of the baseline, on the same broker."""
    record = json.loads(line)
    record["seq"] = 10000
    done = subprocess.run(
        [
            process.interpreter_path("packaged"),
            "-c",
            _PLAIN.replace("sys.argv[1]", repr(str(port)))
            .replace("sys.argv[2]", repr(json.dumps(record, separators=(",", ":"))))
            .replace("sys.argv[3]", str(RECORDS)),
        ],
        env={"MICROPYPATH": f"{process.ROOT / 'lib'}:.frozen"},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    took_ms, size = done.stdout.split()
    return int(took_ms) / 1000, int(size)
