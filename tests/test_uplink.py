"""The charger's side of the MQTT contract, on the virtual board against a real Mosquitto.

The cloud is played by hand, by a client of the test's own: what goes up, and what each message down
does. The reference cloud has tests of its own.
"""

import contextlib
import datetime
import getpass
import json
import queue
import time

import paho.mqtt.client as mqtt
import pytest
from certificates import NAME, Certificates
from cloud_process import wait_for
from conftest import Interpreter
from test_app import SETTINGS, Charger
from test_web import free_port

from tools.bench.broker import Broker
from tools.bench.link import Link
from tools.cloud import messages
from tools.virtual import image

ID = SETTINGS["charger_id"]
AT_CLOUD = {
    **SETTINGS,
    "wifi_ssid": "holdfast-test",
    "cloud_host": "cloud.test",
    "cloud_tls": False,
    "hint_host": "hint.test",
    "ntp_host": "",
    "status_interval_s": 10,
    "console": False,
}
# Chargers ask for their window before each attempt: in these tests it is a second.
HINT = {"hint.test": ("127.0.0.1", 0)}
PAIR = (("cert", ".pem"), ("key", "_key.pem"))


def now(offset_s=0):
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=offset_s)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class Cloud:
    """What has come up, in order, and ways to say something down."""

    def __init__(self, port):
        self.messages = queue.Queue()
        self.seen = []
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="cloud")
        self.client.on_message = self._take
        self.client.on_connect = lambda client, *_: client.subscribe("holdfast/+/+", 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.malformed = []
        self._req = 0

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def _take(self, client, what, message):
        words = message.topic.split("/")
        if words[1] == ID and words[2] not in ("ack", "grant", "command"):
            try:
                content = messages.check(words[2], message.payload)  # as docs/mqtt.md has it
            except messages.Malformed as e:
                self.malformed.append((str(e), message.topic, message.payload))
                content = json.loads(message.payload)
            self.messages.put((words[2], content, message.retain))

    def wait(self, suffix, condition=lambda content: True, timeout_s=20):
        """The next message on <id>/`suffix` for which `condition(content)` holds."""
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = deadline - time.monotonic()
            try:
                topic, content, _ = self.messages.get(timeout=max(0.01, left_s))
            except queue.Empty:
                raise AssertionError(f"no such message on {suffix}; seen: {self.seen}") from None
            self.seen.append((topic, content))
            if topic == suffix and condition(content):
                return content

    def say(self, suffix, content, whom=ID, retain=False):
        payload = content if isinstance(content, str | bytes) else json.dumps(content)
        self.client.publish(f"holdfast/{whom}/{suffix}", payload, 1, retain).wait_for_publish(5)

    def heartbeat(self):
        self.say("heartbeat", {"utc": now()}, "fleet")

    def ask(self, do, **fields):
        """Send a command; its reply."""
        self._req += 1
        req = f"r{self._req}"
        self.say("command", {"req": req, "do": do, **fields})
        return self.wait("reply", lambda content: content["req"] == req)

    def records(self, epoch_and_through=None, timeout_s=20):
        """The records of the next message with some, on either topic."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            topic, content, _ = self.messages.get(timeout=timeout_s)
            self.seen.append((topic, content))
            if topic in ("sessions", "events"):
                return content
        raise AssertionError("no records")

    def collect(self, enough, timeout_s=30):
        """{seq: record} of all that comes up until `enough(records)`."""
        found = {}
        for topic, content in self.seen:
            if topic in ("sessions", "events"):
                found.update({r["seq"]: r for r in content["records"]})
        deadline = time.monotonic() + timeout_s
        while not enough(found):
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"not enough: {found}"
            with contextlib.suppress(queue.Empty):
                topic, content, _ = self.messages.get(timeout=left_s)
                self.seen.append((topic, content))
                if topic in ("sessions", "events"):
                    found.update({r["seq"]: r for r in content["records"]})
        return found


class Reader:
    """A client that comes later and sees only what the broker keeps."""

    def __init__(self, port, topic):
        self.messages = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda c, what, m: self.messages.put(
            (json.loads(m.payload), m.retain)
        )
        self.client.on_connect = lambda client, *_: client.subscribe(topic)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def first(self):
        return self.messages.get(timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()


@contextlib.contextmanager
def surroundings(interpreter, folder, settings=None, link=False, tls=False):
    """A broker, a cloud by hand and a charger that is connected to them, by TLS if need be.

    `charger.restart_broker()` stops the broker and starts it again. At the end everything that the
    charger has said must have been as docs/mqtt.md has it.
    """
    port = charger_port = free_port()
    more, files = (), image.charger_files(interpreter.name)
    if tls:
        made, charger_port = Certificates(folder / "made"), free_port()
        files = files | {"tls/ca.pem": made.ca.read_bytes()}
        keys = (f"{kind}file {made.folder}/good{end}" for kind, end in PAIR)
        more = (f"listener {charger_port} 127.0.0.1", *keys, f"user {getpass.getuser()}")
    broker = [Broker(port, folder, more)]
    relay = Link(port) if link else None
    cloud = Cloud(port)
    flash = image.build_image(
        folder / "flash",
        interpreter.name,
        files,
        {**AT_CLOUD, **(settings or {})},
    )
    here = ("127.0.0.1", relay.port if relay else charger_port)
    hosts = {"cloud.test": here, NAME: here}

    def restart():
        broker.pop().close()
        broker.append(Broker(port, folder, more))

    try:
        # 127.0.0.1 as the answer of DNS is a window of one second.
        with Charger(
            interpreter.name, flash, ports={80: free_port()}, hosts={**hosts, **HINT}
        ) as charger:
            charger.relay = relay
            charger.broker_port = port
            charger.restart_broker = restart
            charger.power_on()
            yield charger, cloud
            assert not cloud.malformed
    finally:
        cloud.close()
        if relay:
            relay.close()
        broker[0].close()


def online(cloud):
    """Let the charger be online; its status."""
    cloud.wait("status", lambda s: "state" in s)
    cloud.heartbeat()
    return cloud.wait("status", lambda s: s["online"])


def test_what_goes_up(interpreter, tmp_path):
    with surroundings(interpreter, tmp_path) as (charger, cloud):
        status = online(cloud)
        shown = charger.wait_status(lambda s: s["online"])
        assert set(shown) - {"login", "setup"} == set(status)  # those are of the visitor
        assert shown["clock"]["quality"] == "cloud" and shown["offline_since_s"] is None
        assert shown["cloud"]["state"] == "connected"
        epoch = shown["journal"]["epoch"]
        # Nothing of before the connection goes up before it is granted.
        cloud.say("grant", {"records": 100})
        first = cloud.collect(lambda found: 1 in found and 2 in found)
        assert {first[1]["kind"], first[2]["kind"]} == {"boot", "notice"}
        assert first[1]["utc"] is None

        charger.charge()
        cloud.wait("status", lambda s: s["state"] == "Charging")
        records = cloud.collect(
            lambda found: any(r.get("kind") == "session_start" for r in found.values())
        )
        start = next(r for r in records.values() if r.get("kind") == "session_start")
        assert start["how"] == "Open" and start["key"] is None and start["utc"]
        through = max(records)
        assert sorted(records) == list(range(1, through + 1))

        # Only the ack of this journal frees anything.
        before = charger.get()["journal"]
        cloud.say("ack", {"epoch": epoch + 1, "through": through})
        cloud.say("ack", {"epoch": epoch, "through": through + 1000})
        status = charger.wait_status(lambda s: "claims" in (s["cloud"]["why"] or ""))
        assert status["journal"]["acked"] == before["acked"] == 0
        # In files, as here, noting it erases flash: not while the contactor is closed.
        cloud.say("ack", {"epoch": epoch, "through": through})
        wait_for("the ack", lambda: charger.ask("charger.uplink.outbox.acked") == through)
        programs = charger.hardware()["flash_programs"]
        cloud.ask("limit", limit_a=10, for_s=60)
        assert charger.get()["journal"]["acked"] == 0
        assert charger.hardware()["flash_programs"] == programs
        charger.set_world(car_state="B")
        charger.wait_status(lambda s: s["journal"]["acked"] == through)
        # A cloud that lost its database.
        cloud.say("ack", {"epoch": epoch, "through": 0})
        charger.wait_status(lambda s: "has lost records" in (s["cloud"]["why"] or ""))
        cloud.wait("events", lambda e: any(r.get("code") == "CloudForgot" for r in e["records"]))
        assert charger.get()["journal"]["acked"] == through


def test_through_tls(tmp_path):
    """The whole contract on a TLS connection, its end and the next one."""
    wanted = {"cloud_host": NAME, "cloud_tls": True}
    with surroundings(Interpreter("packaged"), tmp_path, wanted, tls=True) as (charger, cloud):
        charger.wait_status(lambda s: s["cloud"]["state"] == "no-clock")
        charger.ask(f"charger.clock.set({int(time.time())}, 'phone')")
        online(cloud)
        with Reader(charger.broker_port, f"holdfast/{ID}/status") as late:
            status, retained = late.first()
            assert status["id"] == ID and retained
        cloud.say("grant", {"records": 100})
        found = cloud.collect(lambda found: 1 in found and 2 in found)
        journal = charger.get()["journal"]
        cloud.say("ack", {"epoch": journal["epoch"], "through": max(found)})
        charger.wait_status(lambda s: s["journal"]["acked"] == max(found))
        assert cloud.ask("limit", limit_a=10, for_s=600)["ok"]
        charger.charge()
        cloud.wait("status", lambda s: s["state"] == "Charging" and s["limit_a"] == 10)

        charger.restart_broker()
        charger.wait_status(lambda s: not s["online"])
        charger.wait_status(lambda s: s["cloud"]["state"] == "connected", 60)
        assert charger.ask("charger.uplink.worker.connections") == 2
        wait_for("the cloud is connected", cloud.client.is_connected)
        cloud.heartbeat()
        charger.wait_status(lambda s: s["online"] and s["state"] == "Charging")
        assert cloud.ask("unlock") == {"req": f"r{cloud._req}", "ok": True, "locked": False}

        charger.power_off()
        cloud.wait("status", lambda s: s == {"online": False})
        with Reader(charger.broker_port, f"holdfast/{ID}/status") as late:
            assert late.first() == ({"online": False}, True)


def test_commands(interpreter, tmp_path):
    with surroundings(interpreter, tmp_path) as (charger, cloud):
        online(cloud)
        charger.charge()
        cloud.wait("status", lambda s: s["state"] == "Charging")

        assert cloud.ask("limit", limit_a=10, for_s=60)["ok"]
        cloud.wait("status", lambda s: s["limit_a"] == 10)
        assert cloud.ask("keys", add=[{"uid": "04A1B2C3"}])["error"] == "Charging"

        cloud.say("command", {"req": "same", "do": "unlock"})
        first = cloud.wait("reply", lambda content: content["req"] == "same")
        assert first == {"req": "same", "ok": True, "locked": False}
        assert charger.hardware()["contactor"] == "open"
        assert charger.hardware()["lock_permille"] < 100
        boots = charger.get()["boot"]
        cloud.say("command", {"req": "same", "do": "unlock"})
        assert cloud.wait("reply", lambda content: content["req"] == "same") == first
        unlocks = charger.ask("charger.recorder.journal.last_seq")

        answer = cloud.ask("keys", add=[{"uid": "04A1B2C3", "label": "L"}, {"uid": "04A1B2C4"}])
        assert answer["ok"], answer
        assert charger.get()["keys"] == 2
        assert cloud.ask("keys", remove=["04A1B2C4"])["ok"]
        assert charger.get()["keys"] == 1
        assert cloud.ask("set", settings={"installation_limit_a": 12})["ok"]
        charger.wait_status(lambda s: s["limit_a"] == 10)  # the lease is still the smallest
        refused = cloud.ask("set", settings={"installation_limit_a": 12, "phases": 2})
        assert not refused["ok"] and refused["field"] == "phases"

        for fields in (
            {"do": "fly"},
            {"do": "limit", "limit_a": 10},
            {"do": "limit", "limit_a": 81, "for_s": 60},
            {"do": "limit", "limit_a": 8.5, "for_s": 60},
            {"do": "limit", "limit_a": 10, "for_s": 0},
            {"do": "set"},
            {"do": "set", "settings": {"nothing": 1}},
            {"do": "keys"},
            {"do": "keys", "add": [{"uid": "xyz"}]},
            {"do": "keys", "add": [{"uid": "04A1B2C3", "expires": "2027-02-30"}]},
            {"do": "keys", "remove": ["04FFFFFF"]},
            {"do": "keys", "add": [{"uid": "04A1B2C3"}] * 9},
            {"do": "unlock", "now": True},
        ):
            answer = cloud.ask(fields.pop("do"), **fields)
            assert answer["ok"] is False and answer["error"] and answer["reason"], fields
        assert charger.ask("charger.recorder.journal.last_seq") >= unlocks

        # What makes no sense is said, and changes nothing.
        for suffix, whom, content in (
            ("command", ID, "no JSON"),
            ("command", ID, {"do": "unlock"}),
            ("command", ID, {"req": "x" * 37, "do": "unlock"}),
            ("command", ID, [1]),
            ("ack", ID, {"epoch": "1", "through": 1}),
            ("grant", ID, {"records": -1}),
            ("heartbeat", "fleet", {"utc": "yesterday"}),
            ("heartbeat", "fleet", {"utc": "2019-01-01T00:00:00Z"}),
            ("window", "fleet", {"window_s": 0}),
            ("offline", "fleet", {"until": "2026-02-30T00:00:00Z"}),
        ):
            charger.ask("setattr(charger.uplink, 'notice', None)")
            cloud.say(suffix, content, whom)
            why = charger.wait_status(lambda s: s["cloud"]["why"])["cloud"]["why"]
            assert suffix in why, why
        assert charger.get()["boot"] == boots

        cloud.say("command", {"req": 7, "do": "reboot"})
        assert cloud.wait("reply", lambda content: content["req"] == 7)["ok"]
        charger.wait_status(lambda s: s["boot"] == boots + 1, 30)
        assert charger.resets[-1] != "wdt"


def test_authorize(interpreter, tmp_path):
    wanted = {"online_policy": "cloud", "offline_policy": "any_key", "ask_timeout_s": 2}
    with surroundings(interpreter, tmp_path, wanted) as (charger, cloud):
        online(cloud)
        charger.set_world(plugged=True, cable_a=32, car_state="C", draw_ma=32000)
        charger.wait_status(lambda s: s["reason"]["code"] == "WaitsForKey")
        tap = "charger.access.tap(bytes.fromhex('{}'), 4)"
        charger.ask(tap.format("04a1b2c3"))
        asked = cloud.wait("authorize")
        assert asked["uid"] == "04A1B2C3"
        cloud.say("command", {"req": asked["req"], "do": "authorize", "accepted": False})
        charger.wait_status(lambda s: s["reason"]["code"] == "KeyRefused")
        # No answer: the offline policy decides within the time set.
        charger.ask(tap.format("04a1b2c4"))
        asked = cloud.wait("authorize")
        charger.wait_status(lambda s: s["state"] == "Charging")
        # The answer that comes too late changes nothing.
        cloud.say("command", {"req": asked["req"], "do": "authorize", "accepted": False})
        cloud.ask("limit", limit_a=8, for_s=60)
        assert charger.get()["state"] == "Charging"


def test_offline_on_purpose(interpreter, tmp_path):
    with surroundings(interpreter, tmp_path) as (charger, cloud):
        online(cloud)
        cloud.say("window", {"window_s": 2, "strict_first": True}, "fleet", retain=True)
        cloud.say("offline", {"until": now(3600), "reason": "work"}, "fleet", retain=True)
        status = charger.wait_status(lambda s: not s["online"])
        assert status["cloud"]["state"] == "offline-on-purpose"
        assert status["cloud"]["why"] == "work"
        charger.wait_status(lambda s: not s["cloud"]["next_s"])
        # Who reads the broker's retained status later does not take it for connected.
        cloud.wait("status", lambda s: s == {"online": False})
        with Reader(charger.broker_port, f"holdfast/{ID}/status") as late:
            assert late.first() == ({"online": False}, True)
        # It survives a restart, and the window does.
        kept = (
            "from firmware.board.nvs import number\nresult = number('until') and number('window')"
        )
        deadline = time.monotonic() + 10
        while charger.probe(kept) != 2:
            assert time.monotonic() < deadline
        charger.power_off()
        connections = charger.world  # only the clock of the next boot knows nothing
        assert connections
        charger.power_on()
        status = charger.wait_status(lambda s: s["cloud"]["state"] == "offline-on-purpose")
        assert status["clock"]["utc"] is None
        assert charger.ask("charger.uplink.worker.backoff.window_s") == 2
        assert charger.ask("charger.access.offline_ms") > 3_500_000
        # The clock, from the page's phone or a time server, says that it is over.
        charger.ask(f"charger.clock.set({int(time.time()) + 3700}, 'phone')")
        cloud.say("offline", b"", "fleet", retain=True)
        status = charger.wait_status(lambda s: s["cloud"]["state"] == "connected", 30)
        cloud.heartbeat()
        charger.wait_status(lambda s: s["online"])
        assert charger.ask("charger.uplink.until_s") == 0


def test_a_cloud_that_says_nothing_is_offline(interpreter, tmp_path):
    """The time is shortened: nobody waits 75 s in a test."""
    with surroundings(interpreter, tmp_path) as (charger, cloud):
        online(cloud)
        charger.ask("setattr(charger.uplink, 'unheard_ms', 74000)")
        status = charger.wait_status(lambda s: not s["online"])
        assert status["cloud"]["state"] == "connected"
        cloud.heartbeat()
        charger.wait_status(lambda s: s["online"])


def test_a_cloud_that_comes_back_to_the_connections_it_had(interpreter, tmp_path):
    """Its first heartbeat reaches all chargers in one moment: they do not answer in one moment.

    What was sent while it was away, and what was recorded, goes up as it grants.
    """
    with surroundings(interpreter, tmp_path) as (charger, cloud):
        online(cloud)
        charger.charge()
        sent = cloud.collect(
            lambda found: any(r.get("kind") == "session_start" for r in found.values())
        )
        start = next(seq for seq, r in sent.items() if r.get("kind") == "session_start")
        charger.ask("setattr(charger.uplink.worker.backoff, 'hint_s', 80)")
        charger.ask("setattr(charger.uplink, 'unheard_ms', 74000)")
        charger.wait_status(lambda s: not s["online"])
        assert 0 <= charger.ask("charger.uplink.shy_ms") <= 10000  # an eighth of the window
        charger.ask("setattr(charger.uplink, 'shy_ms', 3000)")
        charger.set_world(car_connected=False, car_state="B")
        charger.wait_status(lambda s: s["state"] in ("Finishing", "Available"))
        cloud.heartbeat()
        last = charger.ask("charger.recorder.journal.last_seq")
        wait_for("the heartbeat", lambda: charger.ask("charger.uplink.shy_ms") < 3000)
        assert not charger.get()["online"]
        charger.wait_status(lambda s: s["online"])
        cloud.seen.clear()
        cloud.messages.queue.clear()
        cloud.ask("limit", limit_a=10, for_s=60)
        old = [
            r for topic, m in cloud.seen if topic in ("sessions", "events") for r in m["records"]
        ]
        assert all(record["seq"] > last for record in old), old
        cloud.say("grant", {"records": 100})
        # One batch is two messages, of which either may come first.
        found = cloud.collect(lambda found: set(found) >= set(range(1, last + 1)))
        assert start in found


def test_no_memory_for_a_moment(interpreter, tmp_path):
    """What came is tried again; if that does not help, a command is answered, and all goes on."""
    broken = """
import firmware.app, sys
room = sys.modules["firmware.uplink.uplink"]
briefly = room.briefly
left = [{times}]
def scarce(name):
    if name == "firmware.uplink.{module}" and left[0]:
        left[0] -= 1
        raise MemoryError
    return briefly(name)
room.briefly = scarce
result = 0
"""
    with surroundings(interpreter, tmp_path) as (charger, cloud):
        online(cloud)
        for module in ("inbox", "commands", "pending"):
            charger.probe(broken.format(module=module, times=5))
            assert cloud.ask("limit", limit_a=10, for_s=60)["ok"], module
        charger.probe(broken.format(module="commands", times=41))
        answer = cloud.ask("limit", limit_a=11, for_s=60)
        assert not answer["ok"] and answer["error"] == "Memory", answer
        assert charger.get()["limit_a"] == 10
        charger.probe(broken.format(module="inbox", times=41))
        cloud.say("command", {"req": "lost", "do": "unlock"})
        charger.wait_status(lambda s: "no memory" in (s["cloud"]["why"] or ""))
        assert cloud.ask("limit", limit_a=12, for_s=60)["ok"]
        assert charger.get()["tasks"] == []


@pytest.mark.parametrize("what", ["wifi", "cloud"])
def test_network_away_and_back(interpreter, tmp_path, what):
    with surroundings(interpreter, tmp_path, link=True) as (charger, cloud):
        online(cloud)
        charger.set_world(**{what: False})
        charger.relay.set(charger.world["wifi"], charger.world["cloud"])
        status = charger.wait_status(lambda s: not s["online"], 30)
        assert status["cloud"]["state"] == ("no-wifi" if what == "wifi" else "waiting")
        charger.charge()  # nobody is missed
        charger.set_world(**{what: True})
        charger.relay.set(True, True)
        charger.wait_status(lambda s: s["cloud"]["state"] == "connected", 60)
        cloud.heartbeat()
        charger.wait_status(lambda s: s["online"] and s["state"] == "Charging")
