"""docs/mqtt.md: its examples are what the cloud takes, and what it really sends."""

import json
import re
import sqlite3

import pytest
from cloud_process import Answering, FakeCharger, RunningCloud, wait_for
from conftest import ROOT
from mosquitto import Mosquitto

from tools.cloud import messages
from tools.cloud.cloud import SUBSCRIPTIONS

PAGE = (ROOT / "docs" / "mqtt.md").read_text()
BLOCK = re.compile(r"^```json (\S+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
EXAMPLES = [(topic, detail or "", text) for topic, detail, text in BLOCK.findall(PAGE)]
UP = {"status", "sessions", "events", "authorize", "reply"}
DOWN = {"ack", "grant", "command", "fleet/heartbeat", "fleet/window", "fleet/offline"}


def shape(value):
    """Names and types of a message; all that an example and a real message must share."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__


def test_every_topic_has_an_example_and_a_row():
    assert {topic for topic, *_ in EXAMPLES} == UP | DOWN
    assert PAGE.count("```json") == len(EXAMPLES)
    subscribed = {topic.rsplit("/", 1)[1] for topic, _ in SUBSCRIPTIONS if "+" in topic}
    assert subscribed == UP
    table = PAGE[: PAGE.index("## From the charger")]
    for topic in UP | DOWN:
        name = topic if topic.startswith("fleet/") else f"<id>/{topic}"
        assert f"`{name}`" in table, name
    for topic in UP | DOWN:
        row = next(line for line in table.splitlines() if f"{topic}`" in line and "|" in line)
        longest = int(row.split("|")[-2].replace(",", ""))
        assert longest == messages._LONGEST_UP.get(topic, messages.LONGEST_DOWN), topic


@pytest.mark.parametrize(("topic", "detail", "text"), EXAMPLES)
def test_the_checker_takes_each_example(topic, detail, text):
    message = messages.check(topic, text.encode())
    assert message == json.loads(text)
    if topic == "command":
        assert message["do"] == detail


@pytest.mark.parametrize(("topic", "detail", "text"), EXAMPLES)
def test_the_checker_misses_each_field(topic, detail, text):
    """An example without one of its fields is refused, unless the page calls the field optional."""
    message = json.loads(text)
    if message == messages.LAST_WILL:
        return
    for name in message:
        less = {key: value for key, value in message.items() if key != name}
        optional = (topic, name) in {("reply", "locked"), ("command", "add"), ("command", "remove")}
        if optional:
            messages.check(topic, json.dumps(less).encode())
            continue
        with pytest.raises(messages.Malformed):
            messages.check(topic, json.dumps(less).encode())


def test_the_page_names_every_kind_of_record():
    for kind, fields in messages.KINDS.items():
        assert f"`{kind}`" in PAGE, kind
        if kind in messages.SESSION_KINDS:
            missing = [name for name in fields if f"`{name}`" not in PAGE]
            assert not missing, (kind, missing)


@pytest.mark.broker
def test_the_cloud_sends_what_the_page_shows(tmp_path):
    """Everything that a running cloud publishes has the fields and types of the examples."""
    shown = {
        (topic, detail): shape(json.loads(text))
        for topic, detail, text in EXAMPLES
        if topic in DOWN
    }
    database = tmp_path / "cloud.sqlite"
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder) as broker, FakeCharger(broker.port, "garage-1") as charger:
        # The charger is there first: it hears the first heartbeat.
        with RunningCloud(broker.port, database) as cloud:
            seen = converse(charger, cloud, set(shown))
            wait_for("the status is there", lambda: "garage-1" in cloud.rows())
            assert cloud.rows()["garage-1"]["state"] == "Charging"
            assert cloud.rows()["garage-1"]["malformed"] == 0
    assert seen == shown
    # And the cloud has believed the examples that come from chargers.
    with sqlite3.connect(database) as db:
        assert {row[0] for row in db.execute("SELECT seq FROM records")} == {
            976,
            977,
            979,
            980,
            983,
        }
        ranges = db.execute("SELECT first, last FROM lost").fetchall()
        assert set(ranges) == {(970, 975), (1, 981)}  # the status says that 981 was acked


def converse(charger, cloud, wanted):
    """Let charger and cloud say to each other all there is; the shapes of what the cloud said."""
    seen = {}

    def note(topic, message, _retained):
        suffix = topic.removeprefix("holdfast/").removeprefix("garage-1/")
        if message is not None:
            messages.check(suffix, json.dumps(message).encode())
            seen[suffix, message["do"] if suffix == "command" else ""] = shape(message)

    for topic, _, text in EXAMPLES:
        if topic in UP and json.loads(text) != messages.LAST_WILL:
            charger.publish(charger.root + topic, text.encode())
    cloud.run("offline", "on", "--for", "1h", "--reason", "a test")
    key = ("04A1B2C3", "--label", "A", "--parent", "P", "--expires", "2099-01-31")
    cloud.run("keys", "add", *key)
    with Answering(charger, {"ok": True}) as answering:
        for command in (
            ("unlock",),
            ("limit", "10", "15m"),
            ("set", "offline_policy=known_key", "ask_timeout_s=7"),
            ("keys", "--add", "04A1B2C3", "--remove", "DEADBEEF"),
            ("reboot",),
        ):
            cloud.run("send", "garage-1", *command)
    for heard in answering.others:
        note(*heard)
    for command in answering.taken:
        note("command", command, False)

    def all_of_them():
        while not charger.inbox.empty():
            note(*charger.inbox.get())
        return wanted <= set(seen)

    wait_for("each of them was sent", all_of_them)
    return seen
