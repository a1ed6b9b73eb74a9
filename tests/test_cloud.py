"""The reference cloud: before a real Mosquitto with chargers that keep the contract, and alone.

What needs no broker drives tools.cloud.cloud with a clock of the test's own.
"""

import csv
import io
import itertools
import json
import sqlite3
import subprocess
import sys
import time

import pytest
from certificates import Certificates
from cloud_process import (
    HOST,
    ROOT,
    Answering,
    Client,
    FakeCharger,
    ForkedCloud,
    RunningCloud,
    run,
    seeded,
    status,
    wait_for,
)
from fake_journal import FakeJournal
from mosquitto import Mosquitto

from tools.cloud import cloud as cloud_module
from tools.cloud import messages, report
from tools.cloud.cloud import Cloud, Message
from tools.cloud.serve import Hint
from tools.cloud.store import ACKED_AND_GONE, ACKED_EARLIER, Store, StoreError

from firmware.uplink.backoff import hint_s  # isort: skip

pytestmark = pytest.mark.broker
DAY_S = 1795435200  # 2026-11-23T12:00:00Z


@pytest.fixture
def port(broker):
    return broker.port


@pytest.fixture
def cloud(port, tmp_path):
    with RunningCloud(port, tmp_path / "cloud.sqlite") as running:
        yield running


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "cloud.sqlite")
    opened.db.execute("PRAGMA synchronous = OFF")  # no test with this cuts the power
    yield opened
    opened.close()


class Desk:
    """A cloud without a broker: `sent` has what it published, `now_s` is its time."""

    def __init__(self, store):
        self.now_s = float(DAY_S)
        self.sent = []
        self.log = []
        self.hints = []
        self.store = store
        self.cloud = Cloud(
            store, self._publish, self.log.append, self.hints.append, self._time, self._time
        )
        self.cloud.up()

    def _time(self):
        return self.now_s

    def _publish(self, topic, payload, qos, retain):
        if topic == cloud_module.PROBE:
            self.probe = payload
        else:
            suffix = topic.removeprefix("holdfast/")
            checked = suffix if suffix.startswith("fleet/") else suffix.split("/")[1]
            messages.check(checked, payload)
            self.sent.append((suffix, json.loads(payload or "null"), qos, retain))
        return lambda: True

    def hear(self, suffix, message, retained=False):
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.cloud.handle([Message("holdfast/" + suffix, payload, retained)])

    def wait(self, seconds, answers=True):
        """Let time pass in steps of an eighth of a second; the broker brings the probes back."""
        for _ in range(round(seconds * 8)):
            self.now_s += 0.125
            self.probe = None
            self.cloud.tick()
            if answers and self.probe:
                self.cloud.handle([Message(cloud_module.PROBE, self.probe)])

    def set(self, **settings):
        """As the commands do: from another connection."""
        other = Store(self.store.path)
        other.put(**settings)
        other.close()
        self.wait(0.5)

    def take(self, suffix):
        """What was published on the topics that end so since the last take of anything."""
        found = [message for topic, message, *_ in self.sent if topic.endswith(suffix)]
        self.sent.clear()
        return found


@pytest.fixture
def desk(store):
    return Desk(store)


def record(seq, kind="online", **values):
    return {
        "seq": seq, "kind": kind, "boot": 1, "uptime_s": seq, "utc": None, "quality": 0, **values,
    }  # fmt: skip


def kept(database, charger):
    """{(epoch, seq): record} of the database."""
    with sqlite3.connect(database) as db:
        rows = db.execute(
            "SELECT epoch, seq, content FROM records WHERE charger = ?", (charger,)
        ).fetchall()
    return {(epoch, seq): json.loads(content) for epoch, seq, content in rows}


def assert_sessions_true(found, journal):
    """The report has every session of the journal exactly once, with the right energy and time."""
    sessions = [row for row in found if row["what"] == "session"]
    assert len(sessions) == len({(row["boot"], row["session"]) for row in sessions})
    assert {(row["boot"], row["session"]) for row in sessions} == set(journal.truth)
    for row in sessions:
        truth = journal.truth[row["boot"], row["session"]]
        for name in ("energy_wh", "duration_s", "complete", "key"):
            assert row[name] == truth[name], (name, row, truth)
        if journal.clocks[row["boot"]] and row["clock"] != "unknown":
            assert messages.utc_s(row["started"]) == truth["started_s"]
        elif row["started"] is None:
            assert row["clock"] == "unknown"
            if row["not_before"]:
                assert messages.utc_s(row["not_before"]) <= truth["started_s"]
            if row["not_after"]:
                assert messages.utc_s(row["not_after"]) >= truth["started_s"]


# Records


def test_every_record_is_kept_once(port, cloud):
    """Each message twice, in any order, with holes that are filled last."""
    source = seeded()
    journal = FakeJournal(source)
    records = journal.records
    batches = []
    while records:
        size = source.randrange(1, 30)
        batches += [records[:size]] * 2
        records = records[size:]
    source.shuffle(batches)
    with FakeCharger(port, "c-1", journal.epoch, journal.records) as charger:
        for batch in batches:
            shuffled = list(batch)
            source.shuffle(shuffled)
            charger.send(shuffled)
        charger.wait_ack(len(journal.records))
    assert kept(cloud.database, "c-1") == {(journal.epoch, r["seq"]): r for r in journal.records}
    store = Store(cloud.database)
    found = report.rows(store)
    store.close()
    assert {row["what"] for row in found} == {"session"}
    assert_sessions_true(found, journal)
    assert cloud.rows()["c-1"]["pending"] == 0


def test_what_was_acked_survives_any_kill(port, tmp_path):
    """SIGKILL at 20 moments while a charger sends as fast as it can."""
    source = seeded()
    database = tmp_path / "cloud.sqlite"
    acked = 0
    seen_in_full_flight = 0
    with FakeCharger(port, "c-1", 7) as charger:
        for _ in range(20):
            running = ForkedCloud(port, database)
            moment_s = time.monotonic() + source.uniform(0.0, 0.15)
            at = acked + 1
            while time.monotonic() < moment_s:
                count = source.randrange(1, 20)
                charger.send([record(seq) for seq in range(at, at + count)])
                at += count
            running.kill()
            seen = acked
            while not charger.inbox.empty():
                topic, message, _ = charger.inbox.get()
                if topic.endswith("/ack"):
                    assert message["through"] >= seen
                    seen = message["through"]
            numbers = sorted(seq for _, seq in kept(database, "c-1"))
            assert numbers[:seen] == list(range(1, seen + 1)), "an acknowledged record is gone"
            seen_in_full_flight += seen > acked and seen < at - 1
            acked = seen
    print(f"{acked} records acked; {seen_in_full_flight} of 20 kills hit it in full flight")
    assert acked > 100 and seen_in_full_flight >= 5, (acked, seen_in_full_flight)


def test_live_records_go_before_the_backlog_and_only_the_prefix_is_acked(port, cloud):
    records = [record(seq) for seq in range(1, 31)]
    with FakeCharger(port, "c-1", 1, records) as charger:
        charger.tell()
        assert charger.ack() == 0
        charger.send(records[28:])
        assert charger.ack() == 0
        charger.send(records[:10])
        assert charger.ack() == 10
        charger.send(records[20:28])
        assert charger.ack() == 10
        lines = cloud.run("report")
        assert "11..20" in lines and "still to come" in lines and "10 records are missing" in lines
        wait_for("it is listed", lambda: cloud.rows().get("c-1"))
        assert cloud.rows()["c-1"]["pending"] == 20
        charger.send(records[10:20])
        assert charger.ack() == 30
        assert "missing" not in cloud.run("report")


def test_lost_ranges_count_as_told(store):
    """Any mix of records and lost ranges, in any order: the prefix is what a set says it is."""
    source = seeded()
    for epoch in range(1, 60):
        have = set()
        lost = set()
        store_now = []
        for _ in range(source.randrange(1, 12)):
            first = source.randrange(1, 30)
            last = min(30, first + source.randrange(6))
            if source.random() < 0.4:
                store_now.append({"seq": first, "lost": [first, last], "why": "Full"})
                lost |= set(range(first, last + 1))
            else:
                store_now += [record(seq) for seq in range(first, last + 1)]
                have |= set(range(first, last + 1))
        source.shuffle(store_now)
        with store.transaction():
            store.save_charger(id="c-1", seen_s=1, epoch=epoch)
            store.see_epoch("c-1", None, epoch, 1)
            for item in store_now:
                store.add("c-1", epoch, item, None, 1)
                through = store.advance("c-1", epoch)
        known = have | lost
        expected = next(n for n in itertools.count(1) if n not in known) - 1
        assert through == expected == store.through("c-1", epoch)
        rows = [r for r in report.rows(store, "c-1") if r["epoch"] == epoch]
        told = {
            what: {
                n
                for r in rows
                if r["what"] == what
                for n in range(r["first_seq"], r["last_seq"] + 1)
            }
            for what in ("lost", "gap")
        }
        assert told["lost"] == lost - have
        assert told["gap"] == set(range(1, max(known) + 1)) - known


def test_other_content_is_a_conflict_and_changes_nothing(desk):
    first = record(1, "offline", reason="Other")
    for reason in ("Other", "Server", "Server", "TimeOut", *map(str, range(20)), "Server"):
        other = {**first, "reason": reason}
        desk.hear("c-1/events", {"epoch": 5, "records": [other]})
        assert desk.take("/ack") == [{"epoch": 5, "through": 1}]
    assert kept(desk.store.path, "c-1") == {(5, 1): first}
    rows = [row for row in report.rows(desk.store) if row["what"] == "conflict"]
    assert len(rows) == 1 and rows[0]["first_seq"] == 1 and "10 times" in rows[0]["note"]
    others = desk.store.db.execute("SELECT content, times FROM conflicts").fetchall()
    assert {json.loads(row["content"])["reason"]: row["times"] for row in others} == {
        "Server": 3, "TimeOut": 1, **{str(n): 1 for n in range(6)},
    }  # fmt: skip


def test_a_record_that_cannot_be_understood_blocks_nothing(desk):
    batch = [record(1), record(2, "session_end", session=1), record(3), {**record(4), "boot": []}]
    desk.hear("c-1/sessions", {"epoch": 5, "records": batch})
    assert desk.take("/ack") == [{"epoch": 5, "through": 4}]
    assert list(kept(desk.store.path, "c-1").values()) == batch
    rows = [row for row in report.rows(desk.store) if row["what"] == "unreadable"]
    assert [row["first_seq"] for row in rows] == [2, 4]
    assert rows[0]["note"] == "a record session_end has no meter_wh"


def test_nothing_is_acked_that_the_database_refused(desk, monkeypatch):
    real = Store.transaction
    monkeypatch.setattr(Store, "advance", lambda *_: (_ for _ in ()).throw(broken))
    broken = sqlite3.OperationalError("database or disk is full")
    desk.hear("c-1/status", status("c-1", 5, last_seq=9))
    desk.sent.clear()
    desk.hear("c-1/events", {"epoch": 5, "records": [record(1)]})
    assert not desk.take("/ack") and "disk is full" in desk.log[-1]
    monkeypatch.undo()
    assert Store.transaction is real
    assert not kept(desk.store.path, "c-1")
    desk.hear("c-1/events", {"epoch": 5, "records": [record(1)]})
    assert desk.take("/ack") == [{"epoch": 5, "through": 1}]
    assert desk.store.through("c-1", 5) == 1


# Which charger, which journal, which database


def test_two_chargers_with_one_id(desk):
    for number in range(3):
        for epoch in (11, 22):
            desk.hear("c-1/status", status("c-1", epoch, acked=number, last_seq=number + 1))
            desk.hear("c-1/events", {"epoch": epoch, "records": [record(number + 1, boot=epoch)]})
            assert desk.take("/ack")[-1] == {"epoch": epoch, "through": number + 1}
    rows = {(row["what"], row.get("epoch")): row for row in report.rows(desk.store)}
    assert ("same id", 11) in rows and ("same id", 22) in rows
    assert "two chargers with one id" in rows["same id", 11]["note"]
    assert any("two chargers" in line for line in desk.log)
    assert len(kept(desk.store.path, "c-1")) == 6


def test_a_formatted_journal_counts_anew(desk):
    desk.hear("c-1/events", {"epoch": 11, "records": [record(1), record(2), record(5)]})
    desk.hear("c-1/status", status("c-1", 22, last_seq=1))
    desk.hear("c-1/events", {"epoch": 22, "records": [record(1)]})
    assert desk.take("/ack")[-1] == {"epoch": 22, "through": 1}
    rows = report.rows(desk.store)
    assert [row["what"] for row in rows] == ["gap", "new epoch"]
    assert (rows[0]["first_seq"], rows[0]["last_seq"]) == (3, 4)
    assert "may never come" in rows[0]["note"]
    assert "epoch 11 had come to 5" in rows[1]["note"] and rows[1]["epoch"] == 22
    assert any("formatted" in line for line in desk.log)
    assert len(kept(desk.store.path, "c-1")) == 4


def test_an_old_retained_status_is_no_other_charger(desk):
    desk.hear("c-1/events", {"epoch": 11, "records": [record(1)]})
    desk.hear("c-1/events", {"epoch": 22, "records": [record(1)]})
    desk.cloud.up()
    desk.hear("c-1/status", status("c-1", 11, last_seq=1), retained=True)
    assert "same id" not in {row["what"] for row in report.rows(desk.store)}


def test_a_lost_database(port, tmp_path):
    """The charger is told so, goes on without a gap, and what it still has fills the hole."""
    database = tmp_path / "cloud.sqlite"
    records = [record(seq) for seq in range(1, 121)]
    with FakeCharger(port, "c-1", 9, records) as charger:
        with RunningCloud(port, database) as cloud:
            charger.tell()
            for at in range(0, 100, 25):
                charger.send(records[at : at + 25])
            charger.wait_ack(100)
        for path in tmp_path.glob("cloud.sqlite*"):
            path.unlink()
        with RunningCloud(port, database) as cloud:
            charger.tell(acked=100)
            assert charger.ack() == 0, "a charger must be able to see that the database is lost"
            charger.send(records[110:])
            assert charger.ack() == 100
            charger.send(records[100:110])
            charger.wait_ack(120)
            rows = list(csv.DictReader(io.StringIO(cloud.run("report", "--csv"))))
            found = [(r["what"], r["first_seq"], r["last_seq"], r["note"]) for r in rows]
            assert found == [("lost", "1", "100", ACKED_EARLIER)]
            # What is still on its flash:
            charger.send([{"seq": 1, "lost": [1, 40], "why": "Acked"}, *records[40:100]])
            assert charger.ack() == 120
            assert "1..40" in cloud.run("report") and ACKED_EARLIER in cloud.run("report")
    assert len(kept(database, "c-1")) == 80


def test_what_a_lost_database_had_is_asked_for_until_it_is_there(desk):
    """Also when the connection ends in between; what the charger has no more is asked for once."""
    report_of = status("c-1", 9, acked=100, last_seq=100)
    desk.hear("c-1/status", report_of)
    assert desk.take("/ack") == [{"epoch": 9, "through": 0}]
    assert desk.store.to_refill("c-1", 9) == (1, 100)
    desk.hear("c-1/events", {"epoch": 9, "records": [record(seq) for seq in range(1, 41)]})
    assert desk.take("/ack") == [{"epoch": 9, "through": 100}]
    desk.hear("c-1/status", {"online": False})
    desk.hear("c-1/status", report_of)
    acks = [message["through"] for topic, message, *_ in desk.sent if topic == "c-1/ack"]
    assert acks == [40, 100]
    desk.wait(1)
    assert sum(its["records"] for its in desk.take("/grant")) >= 60
    assert report.notes(desk.store, "c-1") == [
        "this database lost 60 records; the charger may have them"
    ]
    gone = {"seq": 41, "lost": [41, 60], "why": "Acked"}
    rest = [record(seq) for seq in range(61, 101)]
    desk.hear("c-1/events", {"epoch": 9, "records": [gone, *rest]})
    assert desk.store.to_refill("c-1", 9) == (0, 0)
    desk.sent.clear()
    desk.hear("c-1/status", {"online": False})
    desk.hear("c-1/status", report_of)
    assert desk.take("/ack") == [{"epoch": 9, "through": 100}]
    (lost,) = [row for row in report.rows(desk.store) if row["what"] == "lost"]
    assert (lost["first_seq"], lost["last_seq"]) == (41, 60)
    assert lost["note"] == ACKED_AND_GONE
    assert report.notes(desk.store, "c-1") == ["records that an earlier database had are gone"]


def test_an_intact_database_is_never_taken_for_lost(desk):
    desk.hear("c-1/events", {"epoch": 5, "records": [record(n) for n in range(1, 6)]})
    for acked in (0, 3, 5):
        desk.hear("c-1/status", status("c-1", 5, acked, 5))
    desk.hear("c-1/events", {"epoch": 5, "records": [record(7)]})
    desk.hear("c-1/status", status("c-1", 5, 5, 7))
    assert [row["what"] for row in report.rows(desk.store)] == ["gap"]


# What must not be believed

_HOSTILE = (
    b"", b"null", b"[]", b"{}", b"{", b"\xff\xfe", b'{"a":NaN}', b'{"a":1e999}', b"[" * 5000,
    b'{"epoch":1,"records":' + b"[" * 400 + b"]" * 400 + b"}", b'"' + b"a" * 70000 + b'"',
    b'{"epoch":' + b"9" * 5000 + b',"records":[]}', b'{"req":1,"uid":"\\ud800"}', b"\x00" * 64,
    b'{"id":"c-1","journal":{"epoch":1,"acked":5,"last_seq":1}}', b'{"online":false,"x":1}',
)  # fmt: skip
_VALUES = (
    None, True, False, 0, -1, 1, 1.5, 1 << 31, 1 << 32, 1 << 63, 1 << 70, "", "x", "x" * 300,
    "\x1b[2J", "\ud800", "2026-11-23T11:50:00Z", "2026-02-30T00:00:00Z", "9999-12-31", [], [1, 2],
    {}, {"epoch": 1}, "04A1B2C3", "=1+1",
)  # fmt: skip


def mangle(source, value):
    """A message with something wrong in it, perhaps."""
    if isinstance(value, dict) and value and source.random() < 0.8:
        name = source.choice(list(value))
        changed = dict(value)
        if source.random() < 0.15:
            del changed[name]
        else:
            changed[name] = mangle(source, value[name])
        return changed
    if isinstance(value, list) and value and source.random() < 0.7:
        at = source.randrange(len(value))
        return [*value[:at], mangle(source, value[at]), *value[at + 1 :]]
    return source.choice(_VALUES)


def test_malformed_messages_are_counted_and_do_no_harm(desk):
    """2,000 of them among good ones: none ends the cloud or stores what is no record."""
    source = seeded()
    good = {
        "status": status("c-1", 5, 1, 9),
        "sessions": {"epoch": 5, "records": [record(n, "clock") for n in (2, 3)]},
        "events": {
            "epoch": 5,
            "records": [record(4), {"seq": 5, "lost": [5, 6], "why": "Full"}],
        },
        "authorize": {"req": 1, "uid": "04A1B2C3"},
        "reply": {"req": "a", "ok": False, "error": "Busy", "reason": "It is busy."},
    }
    refused = 0
    for n in range(2000):
        suffix = source.choice(list(good))
        if source.random() < 0.2:
            payload = source.choice(_HOSTILE)
        else:
            payload = json.dumps(mangle(source, good[suffix])).encode()
            if source.random() < 0.1:
                cut = bytearray(payload)
                cut[source.randrange(len(cut))] = source.randrange(256)
                payload = bytes(cut[: source.randrange(1, len(cut) + 1)])
        before = desk.cloud.chargers["c-1"].refused if "c-1" in desk.cloud.chargers else 0
        retained = source.random() < 0.1
        # Ids are up to the broker's access rules; those that no charger may have are counted.
        topic = source.choice(("c-1",) * 8 + ("fleet", "é", "a" * 33, "cloud"))
        desk.cloud.handle([Message(f"holdfast/{topic}/{suffix}", payload, retained)])
        if topic != "c-1":
            continue
        counted = desk.cloud.chargers["c-1"].refused - before
        refused += counted
        try:
            message = messages.check(suffix, payload)
            strange = suffix == "status" and message.get("id", "c-1") != "c-1"
            assert counted == strange or (suffix == "authorize" and retained), payload
        except messages.Malformed as error:
            assert counted, (error, payload)
        if n % 50 == 0:
            desk.wait(0.5)
    desk.wait(3)
    assert not any("Traceback" in line for line in desk.log), desk.log
    assert refused > 500 and desk.cloud._strangers > 100
    rows = {row["what"]: row for row in report.rows(desk.store, "c-1")}
    assert f"{desk.cloud.chargers['c-1'].refused} messages" in rows["malformed"]["note"]
    desk.hear("c-2/events", {"epoch": 5, "records": [record(1)]})
    assert {"epoch": 5, "through": 1} in desk.take("c-2/ack")
    assert report.as_table(report.rows(desk.store, None, DAY_S, DAY_S + 1))
    text = report.as_csv(report.rows(desk.store))
    assert "\x1b" not in text and "\n=" not in text and ",=" not in text
    stored = [seq for epoch, seq in kept(desk.store.path, "c-1") if epoch == 5]
    assert all(0 < seq < 1 << 32 for seq in stored)


@pytest.mark.parametrize(
    ("suffix", "message", "sentence"),
    [
        ("authorize", {"req": 1, "uid": "04a1b2c3"}, "upper-case"),
        ("authorize", {"req": "", "uid": "04A1B2C3"}, "1 to 36 characters"),
        ("reply", {"req": 1, "ok": "yes"}, "ok must be true or false"),
        ("reply", {"req": 1, "ok": False}, "has no error"),
        ("events", {"epoch": 0, "records": []}, "epoch must be a whole number from 1"),
        ("events", {"epoch": 1, "records": [record(0)]}, "seq must be"),
        ("events", {"epoch": 1, "records": [record(1 << 32)]}, "seq must be"),
        ("events", {"epoch": 1, "records": [record(1, "\ud800")]}, "control characters"),
        ("events", {"epoch": 1, "records": [record(1, "nonsense")]}, "no record nonsense"),
        ("events", {"epoch": 1, "records": [record(1, quality=1)]}, "quality must be 0"),
        ("events", {"epoch": 1, "records": [{}] * 1001}, "list of 0 to 1000"),
        ("events", {"epoch": 1, "records": [{"seq": 1, "lost": [2, 1], "why": "x"}]}, "lost must"),
        ("events", {"epoch": 1, "records": [{"seq": 9, "lost": [1, 2], "why": "x"}]}, "lost must"),
        ("events", {"epoch": 1, "records": [], "x": [[[[[[[[[]]]]]]]]]}, "nested too deeply"),
        ("status", status("c-1", state="Charged"), "state must be one of"),
        ("status", status("c-1", journal={"epoch": 1}), "has no pending"),
        ("status", status("c-1", clock={"utc": "2026-02-30T00:00:00Z"}), "utc is no time"),
        ("nonsense", {}, "no topic"),
    ],
)
def test_what_is_wrong_is_said(suffix, message, sentence):
    with pytest.raises(messages.Malformed) as caught:
        messages.check(suffix, json.dumps(message).encode())
    assert sentence in str(caught.value)


def test_a_fault_of_the_cloud_itself_stops_nobody_else(desk, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(Cloud, "_authorize", broken)
    question = json.dumps({"req": 1, "uid": "04A1B2C3"}).encode()
    records = json.dumps({"epoch": 5, "records": [record(1)]}).encode()
    desk.cloud.handle(
        [Message("holdfast/c-1/authorize", question), Message("holdfast/c-2/events", records)]
    )
    assert desk.take("/ack") == [{"epoch": 5, "through": 1}]
    assert "ZeroDivisionError" in desk.log[0] and desk.cloud.chargers["c-1"].refused == 1


def test_the_log_has_no_secrets(port, tmp_path):
    database = tmp_path / "cloud.sqlite"
    secret = "hunter2-hunter2"
    run("keys", "add", "04A1B2C3D4E5F6", "--label", "Anna", "--database", database)
    with RunningCloud(
        port, database, "--user", "op", environment={"HOLDFAST_MQTT_PASSWORD": secret}
    ) as cloud:
        with FakeCharger(port, "c-1") as charger:
            for uid in ("04A1B2C3D4E5F6", "DEADBEEF", "nonsense" + secret):
                charger.publish(charger.root + "authorize", {"req": 1, "uid": uid})
            charger.next("/command")
            charger.next("/command")
            wait_for("it is said", lambda: "malformed" in cloud.said())
        said = cloud.said()
    for word in ("A1B2C3", "DEADBEEF", secret, "Anna"):
        assert word not in said
    assert "04..F6 accepted" in said and "DE..EF refused" in said
    assert secret.encode() not in database.read_bytes()


# Presence, commands, keys


def test_a_charger_that_connects_is_acked_and_granted_at_once(port, cloud):
    with FakeCharger(port, "c-1", 3, [record(n) for n in range(1, 101)]) as charger:
        began_s = time.monotonic()
        charger.tell()
        assert charger.next("/ack") == {"epoch": 3, "through": 0}
        grant = charger.next("/grant")
        assert time.monotonic() - began_s < 1.0
        assert grant["records"] == 100
        wait_for("it is online", lambda: cloud.rows()["c-1"]["online"])
        row = cloud.rows()["c-1"]
        assert (row["state"], row["firmware"], row["clock"]) == ("Available", "0.2.0", "cloud")
        assert row["epoch"] == 3 and row["pending"] == 100
        charger.send(charger.records[:60])
        assert charger.next("/grant")["records"] >= 40  # before it has to stop
        charger.drop()
    wait_for("the last will is seen", lambda: not cloud.rows()["c-1"]["online"])
    with FakeCharger(port, "idle", 3) as charger:
        charger.tell()
        assert charger.next("/grant")["records"] > 0  # else it would trickle
    with FakeCharger(port, "silent", 3) as charger:  # as it sees it: not online yet
        charger.tell(online=False)
        charger.next("/grant")


def test_heartbeats(desk):
    assert desk.take("fleet/heartbeat") == [{"utc": "2026-11-23T12:00:00Z"}]
    for number in range(1, 4):
        desk.wait(29.5)
        assert not desk.take("fleet/heartbeat")
        desk.wait(0.5)
        utc = messages.utc_text(DAY_S + 30 * number)
        topic, message, qos, retain = desk.sent[-1]
        assert (topic, message, qos, retain) == ("fleet/heartbeat", {"utc": utc}, 0, False)
        desk.sent.clear()
    desk.cloud.down()
    desk.wait(60)
    assert not desk.sent
    desk.cloud.up()
    assert len(desk.take("fleet/heartbeat")) == 1


def test_the_broker_restarts(broker, cloud):
    """It comes back by itself, says again what is retained, and knows that everybody is missing."""
    cloud.run("window", "77")
    with FakeCharger(broker.port, "c-1", 3) as charger:
        charger.tell()
        charger.next("/grant")
        wait_for("it is online", lambda: cloud.rows()["c-1"]["online"])
        broker.kill()
        wait_for("that is known", lambda: "is away" in cloud.run("status"))
    assert cloud.rows()["c-1"]["online"] is None
    broker.start()
    wait_for("the cloud is back", lambda: cloud.said().count("connected to") == 2)
    with Client(broker.port, "reader", ["holdfast/fleet/#"]) as reader:
        assert reader.next("fleet/window") == {"window_s": 77, "strict_first": True}
    wait_for("it is missing", lambda: cloud.rows()["c-1"]["online"] is False)
    with FakeCharger(broker.port, "c-1", 3) as charger:
        charger.tell()
        charger.next("/grant")
        wait_for("it is online", lambda: cloud.rows()["c-1"]["online"])


def test_retained_statuses_count_while_the_broker_has_been_running(desk):
    """After a restart of the cloud alone nobody is missing; after one of the broker all are."""
    for name in ("c-1", "c-2"):
        desk.hear(name + "/status", status(name, 3))
    desk.wait(100)
    desk.cloud.down()
    desk.wait(50)
    desk.cloud.up()
    desk.hear("c-1/status", status("c-1", 3), retained=True)
    desk.hear("c-2/status", {"online": False}, retained=True)
    here = [desk.cloud.here(charger) for charger in desk.cloud.chargers.values()]
    assert here == [False, False]  # nobody knows
    desk.cloud.handle([Message(cloud_module.UPTIME, b"20 seconds")])
    assert not desk.cloud.here(desk.cloud.chargers["c-1"])
    desk.cloud.handle([Message(cloud_module.UPTIME, b"500 seconds")])
    assert desk.cloud.here(desk.cloud.chargers["c-1"])
    assert not desk.cloud.here(desk.cloud.chargers["c-2"])


def test_who_connected_while_the_cloud_was_away_is_there(desk):
    for name in ("c-1", "c-2"):
        desk.hear(name + "/status", status(name, 3, uptime_s=100))
    desk.cloud.down()
    desk.wait(50)
    desk.cloud.up()
    desk.hear("c-1/status", status("c-1", 3, uptime_s=2), retained=True)
    desk.hear("c-2/status", status("c-2", 3, uptime_s=100), retained=True)
    assert desk.cloud.here(desk.cloud.chargers["c-1"])
    assert not desk.cloud.here(desk.cloud.chargers["c-2"])


def test_authorize(port, cloud):
    cloud.run("keys", "add", "04:a1:b2:c3", "--label", "Anna")
    cloud.run("keys", "add", "04A1B2C4", "--expires", "2020-01-31")
    cloud.run("keys", "add", "04A1B2C5", "--expires", "2099-01-31", "--parent", "P1")
    cloud.run("keys", "add", "04A1B2C6")
    cloud.run("keys", "block", "04A1B2C6")
    cloud.run("keys", "add", "04A1B2C7")
    cloud.run("keys", "remove", "04A1B2C7")
    assert "Anna" in cloud.run("keys", "list")
    with FakeCharger(port, "c-1") as charger:
        for number, (uid, accepted) in enumerate(
            {
                "04A1B2C3": True,
                "04A1B2C4": False,
                "04A1B2C5": True,
                "04A1B2C6": False,
                "04A1B2C7": False,
                "04A1B2C8": False,
            }.items()
        ):
            began_s = time.monotonic()
            charger.publish(charger.root + "authorize", {"req": number, "uid": uid}, qos=0)
            answer = {"req": number, "do": "authorize", "accepted": accepted}
            assert charger.next("/command") == answer
            assert time.monotonic() - began_s < 2


def test_a_key_ends_when_its_day_begins(store):
    store.db.execute("INSERT INTO keys VALUES('04A1B2C3', '', '', '2026-11-24', 0)")
    assert store.accepts("04A1B2C3", DAY_S + 12 * 3600 - 1)
    assert not store.accepts("04A1B2C3", DAY_S + 12 * 3600)


def test_commands_and_their_replies(port, cloud):
    cloud.run("keys", "add", "04A1B2C3", "--label", "Anna", "--expires", "2099-12-31")
    cloud.run("keys", "add", "04A1B2C4", "--expires", "2020-12-31")
    for n in range(20):
        longest = (f"04A1B2{n:02X}", "\u00fc" * 12, "\u00f6" * 10, "2099-12-31")
        with sqlite3.connect(cloud.database) as db:
            db.execute("INSERT INTO keys VALUES(?, ?, ?, ?, 0)", longest)
    with FakeCharger(port, "c-1") as charger:
        with Answering(charger, {"ok": True, "locked": False}) as answering:
            assert '"locked": false' in cloud.run("send", "c-1", "unlock")
            cloud.run("send", "c-1", "limit", "0", "15m")
            values = ("offline_policy=known_key", "ask_timeout_s=7", "tethered=true")
            cloud.run("send", "c-1", "set", *values)
            both = ("--add", "04A1B2C3", "DEADBEEF", "--remove", "00112233")
            cloud.run("send", "c-1", "keys", *both)
            cloud.run("send", "c-1", "reboot", "--wait", "5s")
            single = list(answering.taken)
            cloud.run("send", "c-1", "keys", "--all")
        commands = [{k: v for k, v in its.items() if k != "req"} for its in single]
        assert commands == [
            {"do": "unlock"},
            {"do": "limit", "limit_a": 0, "for_s": 900},
            {
                "do": "set",
                "settings": {
                    "offline_policy": "known_key", "ask_timeout_s": 7, "tethered": True,
                },
            },
            {
                "do": "keys",
                "add": [
                    {"uid": "04A1B2C3", "label": "Anna", "expires": "2099-12-31"},
                    {"uid": "DEADBEEF"},
                ],
                "remove": ["00112233"],
            },
            {"do": "reboot"},
        ]  # fmt: skip
        pushed = answering.taken[len(single) :]
        assert all(len(json.dumps(its)) <= 1024 for its in pushed)
        assert sum(len(its.get("add", ())) for its in pushed) == 21
        assert [uid for its in pushed for uid in its.get("remove", ())] == ["04A1B2C4"]
        assert len({its["req"] for its in answering.taken}) == len(answering.taken)
        refusal = {"ok": False, "error": "LockFailed", "reason": "The lock is jammed."}
        with Answering(charger, refusal):
            assert "The lock is jammed." in cloud.run("send", "c-1", "unlock", code=1)
        with Answering(charger, {"ok": False}):
            assert "makes no sense" in cloud.run("send", "c-1", "unlock", code=1)
        wait_for("it is known", lambda: cloud.rows().get("c-1"))
        said = cloud.run("send", "c-1", "stop", "--wait", "1s", code=1)
        assert "did not reply" in said and "last heard" in said
    assert "never heard" in cloud.run("send", "c-9", "stop", "--wait", "1s", code=1)


BAD = [
    (["send", "c-1", "limit", "81", "60s"], "limit_a must be a whole number from 0 to 80"),
    (["send", "c-1", "limit", "16", "25h"], "for_s must be"),
    (["send", "c-1", "limit", "16", "soon"], "is no time"),
    (["send", "c/1", "unlock"], "no charger's id"),
    (["send", "fleet", "unlock"], "no charger's id"),
    (["send", "c-1", "set", "nonsense"], "NAME=VALUE"),
    (["send", "c-1", "set", "a=" + "x" * 2000], "1024 are allowed"),
    (["send", "c-1", "keys"], "--add, --remove or --all"),
    (["send", "c-1", "keys", "--add", "04"], "4, 7 or 10 bytes"),
    (["send", "c-1", "unlock", "--wait", "0"], "no time"),
    (["send", "c-1", "dance"], "invalid choice"),
    (["keys", "add", "08A1B2C3"], "cannot be learned"),
    (["keys", "add", "04A1B2C3", "--label", "x" * 25], "24 bytes"),
    (["keys", "add", "04A1B2C3", "--expires", "2027-02-30"], "no day"),
    (["keys", "add", "04A1B2C3", "--expires", "tomorrow"], "no day"),
    (["capacity", "0"], "no number of chargers"),
    (["capacity", "nan"], "no number of chargers"),
    (["window", "0"], "from 1 to 14400"),
    (["window", "fast"], "from 1 to 14400"),
    (["offline", "on"], "needs its end"),
    (["offline", "on", "--until", "2020-01-01T00:00:00Z"], "over already"),
    (["offline", "on", "--until", "tonight"], "no time"),
    (["offline", "on", "--for", "8d"], "seven days"),
    (["offline", "on", "--for", "1h", "--reason", "x" * 65], "0 to 64 characters"),
    (["offline", "on", "--for", "1h", "--steps", "0"], "from 1 to 100"),
    (["offline", "off", "--for", "1h"], "takes --steps only"),
    (["report", "--from", "yesterday"], "no time"),
    (["serve"], "needs --broker"),
    (["serve", "--broker", "host:99999"], "no number from 1 to 65535"),
    (["serve", "--broker", ":1883"], "has no host"),
    (["serve", "--broker", "host:1", "--tls", "/nonexistent"], "cannot be read"),
    (["serve", "--broker", "host:1", "--hint-file", "/tmp/x"], "go together"),
    ([], "required"),
]


def test_bad_input_is_refused_with_a_sentence(store, capsys):
    """In this process, since there are many: exit code 2, nothing written."""
    from tools.cloud.__main__ import main

    store.put(broker={"host": HOST, "port": 1, "tls": "", "user": ""})
    before = "\n".join(store.db.iterdump())
    for arguments, sentence in BAD:
        if arguments:
            arguments = [*arguments, "--database", str(store.path)]
        if arguments[:1] in (["send"], ["keys"]):
            arguments = [arguments[0], *arguments[-2:], *arguments[1:-2]]
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr().err
        assert code == 2 and sentence in said, (arguments, code, said)
    assert "\n".join(store.db.iterdump()) == before


def test_what_cannot_be_done_is_said(tmp_path, store):
    missing = tmp_path / "nothing.sqlite"
    assert "There is no database" in run("chargers", "--database", missing, code=1)
    assert not missing.exists()
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE mine(x)")
    assert "another program" in run("chargers", "--database", foreign, code=1)
    (tmp_path / "text").write_text("no database at all, whatever it is called " * 30)
    assert "cannot be used" in run("chargers", "--database", tmp_path / "text", code=1)
    said = run("report", "--charger", "c-9", "--database", store.path, code=1)
    assert "There is no charger c-9" in said
    assert "not running" in run("window", "--database", store.path, code=1)
    assert "not running" in run("status", "--database", store.path, code=1)
    assert "not running" in run("capacity", "10", "--database", store.path)
    assert store.settings()["capacity"] == 10
    with pytest.raises(StoreError):
        Store(tmp_path)


def test_two_clouds_do_not_share_a_database(port, cloud):
    said = run("serve", "--broker", f"{HOST}:{port}", "--database", cloud.database, code=1)
    assert "Another cloud" in said


# The fleet


def test_deliberate_offline(port, cloud):
    with FakeCharger(port, "c-1", 3) as early:
        early.tell()
        early.next("/grant")
        cloud.run("offline", "on", "--for", "2h", "--reason", "the cloud moves", "--steps", "4")
        told = early.next("fleet/offline")
        until_s = messages.utc_s(told["until"])
        assert told["reason"] == "the cloud moves" and 7100 < until_s - time.time() <= 7200
        with FakeCharger(port, "c-2", 3) as late:
            assert late.next("fleet/offline") == told
        assert "on purpose until" in cloud.run("status")
        assert "stay until" in cloud.run("offline", "off", "--steps", "4")
        assert early.next("fleet/offline") is None  # the empty payload: it is over
    with FakeCharger(port, "c-3", 3) as after:
        assert after.inbox.get(timeout=5)[0] == "holdfast/fleet/window"
        assert after.inbox.empty()


def test_offline_ends_by_itself(desk):
    desk.set(offline_until=messages.utc_text(DAY_S + 60), offline_reason="x")
    assert desk.take("fleet/offline")[-1] == {"until": "2026-11-23T12:01:00Z", "reason": "x"}
    desk.wait(58)
    assert not desk.take("fleet/offline")
    desk.wait(1.5)
    assert desk.take("fleet/offline") == [None]


def fleet_of(desk, size, capacity):
    """So many chargers, all connected, before a cloud of that capacity."""
    names = [f"c-{n}" for n in range(size)]
    desk.set(capacity=capacity)
    for name in names:
        desk.hear(name + "/status", status(name, 3))
    desk.wait(20)
    return names


def test_the_window_follows_the_fleet_and_what_the_cloud_manages(desk):
    names = fleet_of(desk, 400, 10.0)
    window = desk.cloud.window
    rest_s = 1.29 * 400 / 10
    assert abs(window.retained_s - rest_s) <= 0.25 * rest_s
    assert abs(window.hint_s - rest_s) <= 1
    assert desk.take("fleet/window")[-1]["strict_first"] is True
    # All are dropped, and what comes back comes at a quarter of the rate while all is slow.
    for name in names:
        desk.hear(name + "/status", {"online": False})
    desk.cloud.window.delayed(9.0)
    widest = 0
    for n, name in enumerate(names):
        desk.cloud.window.delayed(9.0)
        desk.hear(name + "/status", status(name, 3))
        desk.cloud.window.delayed(9.0)
        desk.wait(0.4, answers=False)
        widest = max(widest, window.hint_s)
        if n == 200:
            missing, measured = 199, window.measured_capacity
            assert 2.0 < measured < 3.0
            assert window.hint_s >= 1.2 * missing / measured * 0.9
            assert window.retained_s >= 1.29 * 400 / measured * 0.75
    assert widest >= 1.2 * 380 / 3
    # It never tells a window in which the whole fleet, dropped again, would be too fast.
    assert min(desk.hints[5:]) >= rest_s
    published = [its for topic, its, *_ in desk.sent if topic == "fleet/window"]
    assert len(published) < 12, "chargers keep it on flash"


def test_a_stall_without_a_storm_changes_nothing(desk):
    fleet_of(desk, 400, 10.0)
    before = desk.cloud.window.retained_s, desk.cloud.window.measured_capacity
    for _ in range(100):
        desk.cloud.window.delayed(5.0)
        desk.wait(0.5, answers=False)
    assert (desk.cloud.window.retained_s, desk.cloud.window.measured_capacity) == before


def test_the_cloud_notices_that_it_has_too_much_to_do(desk):
    desk.wait(5)
    assert not desk.cloud.window.slow
    desk.wait(3, answers=False)
    assert desk.cloud.window.slow
    desk.wait(3)
    assert not desk.cloud.window.slow
    desk.cloud.down()
    desk.cloud.up()
    desk.wait(10, answers=False)  # a broker that does not let it talk to itself
    assert not desk.cloud.window.slow


def test_back_in_steps(desk):
    """The window is N times as wide at first, narrows as chargers return, and ends as it was."""
    names = fleet_of(desk, 100, 10.0)
    rest_s = desk.cloud.window.hint_s
    desk.sent.clear()
    desk.set(offline_until=messages.utc_text(DAY_S + 600), steps=5)
    window = desk.cloud.window
    assert window.retained_s >= 4.5 * rest_s  # chargers take it along
    topics = [topic for topic, *_ in desk.sent if topic in ("fleet/window", "fleet/offline")]
    assert topics == ["fleet/window", "fleet/offline"]
    for name in names:
        desk.hear(name + "/status", {"online": False})
    desk.wait(600)
    assert window.hint_s >= 4.5 * rest_s
    seen = []
    for name in names:
        desk.hear(name + "/status", status(name, 3))
        desk.wait(0.5)
        seen.append(window.hint_s)
    assert seen == sorted(seen, reverse=True) and 2.5 * rest_s < seen[50] < 3.5 * rest_s
    desk.wait(1)
    assert window.steps == 1 and window.hint_s == rest_s and window.retained_s <= 1.3 * rest_s


def test_grants_leave_room_for_those_who_connect(desk):
    """The backlog of all is granted, one after the other, never more than what is left over."""
    source = seeded()
    desk.set(capacity=1.0)
    names = [f"c-{n}" for n in range(30)]
    for name in names:
        desk.hear(name + "/status", status(name, 3, last_seq=900))
    first = {topic.split("/")[0]: its for topic, its, *_ in desk.sent if topic.endswith("/grant")}
    assert set(first) == set(names), "each is told at once, if only to wait"
    assert sum(its["records"] == 0 for its in first.values()) > 20
    capacity = 1.0 / 0.04 * 25  # records/s
    desk.sent.clear()
    sent = dict.fromkeys(names, 0)
    granted = {name: its["records"] for name, its in first.items()}
    worst = 0
    for _ in range(3000):
        desk.wait(0.125)
        for topic, its, *_ in desk.sent:
            if topic.endswith("/grant"):
                granted[topic.split("/")[0]] = its["records"]
        desk.sent.clear()
        worst = max(worst, sum(granted.values()))
        name = source.choice(names)
        count = min(25, granted[name], 900 - sent[name])
        if count:
            records = [record(seq) for seq in range(sent[name] + 1, sent[name] + count + 1)]
            desk.hear(name + "/events", {"epoch": 3, "records": records})
            sent[name] += count
            granted[name] -= count
        if all(done == 900 for done in sent.values()):
            break
    assert all(done == 900 for done in sent.values()), sent
    assert worst <= 3.5 * capacity, worst


def test_a_grant_of_which_nothing_comes_goes_to_others(desk):
    desk.hear("c-1/status", status("c-1", 3, last_seq=100))
    assert desk.take("c-1/grant") == [{"records": 100}]
    desk.wait(59)
    assert not desk.take("c-1/grant")
    desk.wait(3)
    topics = [topic for topic, *_ in desk.sent if topic.startswith("c-1/")]
    assert topics == ["c-1/ack", "c-1/grant"]


def test_the_hint_is_written_as_chargers_read_it(port, tmp_path):
    path = tmp_path / "hint"
    arguments = ("--hint-file", str(path), "--hint-host", "hint.example.com")
    with RunningCloud(port, tmp_path / "cloud.sqlite", *arguments) as cloud:
        for window_s in (300, 14400):
            cloud.run("window", window_s)
            wait_for("it is written", lambda s=window_s: hint_s(path.read_text().split()[0]) == s)
        assert path.read_text().split()[1] == "hint.example.com"
        cloud.run("window", "auto")
        wait_for("it is written", lambda: path.read_text() == "127.0.0.1 hint.example.com\n")
    for window_s in (1, 255, 256, 14400):
        Hint(path, "hint.example.com", "zone").write(window_s)
        name, ttl, *kind, address = path.read_text().split()
        assert (name, ttl, kind) == ("hint.example.com.", "30", ["IN", "A"])
        assert hint_s(address) == window_s


# The report


def test_sessions_are_right_whatever_is_missing(store):
    """Records taken out at random, or told as lost: no session is wrong, doubled or forgotten."""
    source = seeded()
    for round_number in range(12):
        journal = FakeJournal(source, boots=4, sessions=5)
        name = f"c-{round_number}"
        out = {}
        for item in journal.records:
            if source.random() < 0.15:
                out[item["seq"]] = source.random() < 0.5  # told as lost, or a gap
        last = journal.records[-1]["seq"]
        with store.transaction():
            store.save_charger(id=name, seen_s=DAY_S, epoch=journal.epoch)
            store.see_epoch(name, None, journal.epoch, DAY_S)
            for item in source.sample(journal.records, len(journal.records)):
                seq = item["seq"]
                if seq not in out:
                    store.add(name, journal.epoch, item, None, DAY_S)
                elif out[seq]:
                    store.add_lost(name, journal.epoch, seq, seq, "Full", DAY_S)
            store.reach(name, journal.epoch, last)
        found = report.rows(store, name)
        sessions = {(r["boot"], r["session"]): r for r in found if r["what"] == "session"}
        for key, truth in journal.truth.items():
            parts = {}
            for item in journal.records:
                if item["kind"].startswith("session_"):
                    boot = item.get("session_boot", item["boot"])
                    if (boot, item["session"]) == key:
                        parts["start" if item["kind"] == "session_start" else "end"] = item["seq"]
            row = sessions.pop(key, None)
            if row is None:
                assert all(seq in out for seq in parts.values()), key
                continue
            gone = {part for part, seq in parts.items() if seq in out}
            if not gone and truth["complete"] == "running" and max(out) > row["last_seq"]:
                assert row["complete"] in ("end missing", "end lost")
            elif not gone:
                assert row["complete"] == truth["complete"]
                if truth["complete"] == "yes":
                    assert row["energy_wh"] == truth["energy_wh"]
                    assert row["duration_s"] == truth["duration_s"]
                    assert row["key"] == truth["key"]
            elif "start" in gone:
                assert row["complete"] in ("start missing", "start lost")
            else:
                assert row["complete"] in ("end missing", "end lost")
                assert (row["energy_wh"] or 0) <= truth["energy_wh"]
            if row["started"] and "end" in parts and "start" in gone:
                assert abs(messages.utc_s(row["started"]) - truth["started_s"]) <= 1
        assert not sessions, "sessions that never were"
        told = {"gap": set(), "lost": set()}
        for row in found:
            if row["what"] in told:
                told[row["what"]] |= set(range(row["first_seq"], row["last_seq"] + 1))
        assert told["gap"] == {seq for seq, lost in out.items() if not lost}
        assert told["lost"] == {seq for seq, lost in out.items() if lost}


def test_of_two_ends_the_first_counts(desk):
    """A start may close a session whose end it could not see: see docs/journal.md."""
    its = {"session": 1, "meter_wh": 0, "duration_s": 60, "estimated": False}
    start = record(1, "session_start", session=1, meter_wh=0, how="Open", key=None)
    end = record(2, "session_end", energy_wh=500, reason="Local", **its)
    closed = record(4, "session_closed", energy_wh=100, reason="PowerLoss", session_boot=1, **its)
    for batch in ([closed], [record(3), start], [end]):
        desk.hear("c-1/sessions", {"epoch": 5, "records": batch})
    (row,) = report.rows(desk.store)
    assert (row["energy_wh"], row["reason"], row["complete"]) == (500, "Local", "yes")


GOLDEN = """\
charger,what,epoch,first_seq,last_seq,boot,session,started,ended,not_before,not_after,clock,\
energy_wh,duration_s,estimated,how,key,reason,complete,note
c-1,same id,5,,,,,,,,,,,,,,,,,"this epoch came back 1 times after another one: two chargers with \
one id, or an old copy of a journal"
c-1,session,5,2,3,1,1,2026-11-23T12:01:40Z,2026-11-23T13:41:40Z,,,ntp,7400,6000,no,Key,04A1B2C3,\
EVDisconnected,yes,
c-1,session,5,5,6,1,2,2026-11-23T14:00:00Z,2026-11-23T14:10:00Z,,,ntp,900,600,yes,Open,,PowerLoss,\
yes,
c-1,session,5,7,7,2,1,,,2026-11-23T14:00:50Z,,unknown,,,,,'=1+1,,end missing,
c-1,gap,5,8,9,,,,,,,,,,,,,,,still to come
c-1,lost,5,4,4,,,,,,,,,,,,,,,the charger says: Full
c-1,conflict,5,7,7,,,,,,,,,,,,,,,"came 1 times with other content; the first is kept, \
and the others"
c-1,unreadable,5,10,10,,,,,,,,,,,,,,,a record online has no boot
c-1,new epoch,6,,,,,,,,,,,,,,,,,the journal was formatted: it counts anew since \
2026-11-23T12:00:00Z; epoch 5 had come to 10
c-1,malformed,,,,,,,,,,,,,,,,,,3 messages did not keep the contract; the last: status: no
"""


def golden(store):
    """A charger with one of everything that a report tells."""

    def at(seq, kind, boot, uptime_s, known=True, **values):
        utc = messages.utc_text(DAY_S + uptime_s) if known else None
        common = {"seq": seq, "kind": kind, "boot": boot, "uptime_s": uptime_s}
        return {**common, "utc": utc, "quality": 3 if known else 0, **values}

    start = {"meter_wh": 0, "how": "Open", "key": None}
    end = {"meter_wh": 0, "estimated": False, "duration_s": 6000, "energy_wh": 7400}
    key = {**start, "how": "Key", "key": "04A1B2C3"}
    with store.transaction():
        store.see_epoch("c-1", None, 5, DAY_S - 60)
        store.see_epoch("c-1", 5, 6, DAY_S)
        store.see_epoch("c-1", 6, 5, DAY_S + 60)
        store.save_charger(id="c-1", seen_s=DAY_S, epoch=5, refused=3, refusal="status: no")
        for item in (
            at(1, "boot", 1, 0, False, cause="power-on", firmware="0.2.0"),
            at(2, "session_start", 1, 100, False, session=1, **key),
            at(3, "session_end", 1, 6100, session=1, reason="EVDisconnected", **end),
            {"seq": 4, "lost": [4, 4], "why": "Full"},
            at(5, "session_start", 1, 7200, session=2, **start),
            at(6, "session_closed", 2, 5, False, session=2, reason="PowerLoss", session_boot=1,
               **{**end, "energy_wh": 900, "duration_s": 600, "estimated": True}),
            at(7, "session_start", 2, 50, False, session=1, meter_wh=0, how=None, key="=1+1"),
        ):  # fmt: skip
            store.add("c-1", 5, item, None, DAY_S)
        store.add("c-1", 5, at(7, "online", 2, 50, False), None, DAY_S)
        store.add("c-1", 5, {"seq": 10, "kind": "online"}, "a record online has no boot", DAY_S)
        store.reach("c-1", 5, 10)
        store.advance("c-1", 5)


def test_the_report_as_csv(store):
    golden(store)
    assert run("report", "--csv", "--database", store.path) == GOLDEN


def test_the_report_for_people(store):
    golden(store)
    text = run("report", "--database", store.path)
    assert "2026-11-23T12:01:40Z" in text and "after 2026-11-23" in text and "0.90~" in text
    assert "3 sessions, 2 of them complete, 8.30 kWh; clocks: 2 ntp, 1 unknown" in text
    assert "2 records are missing and may still come, 1 are lost" in text
    assert "end missing" in run("sessions", "--charger", "c-1", "--database", store.path)


def test_a_part_of_the_report(store):
    golden(store)

    def sessions(*arguments):
        text = run("report", "--csv", "--database", store.path, *arguments)
        rows = list(csv.DictReader(io.StringIO(text)))
        assert {row["what"] for row in rows} > {"gap", "lost", "conflict"}, "what hides a session"
        return [row["session"] + "/" + row["boot"] for row in rows if row["what"] == "session"]

    assert sessions("--from", "2026-11-23") == ["1/1", "2/1", "1/2"]
    assert sessions("--to", "2026-11-23") == []
    assert sessions("--from", "2026-11-23T13:00:00Z") == ["2/1", "1/2"]
    assert sessions("--to", "2026-11-23T14:00:00Z") == ["1/1"]
    assert sessions("--from", "2026-11-24") == ["1/2"]  # nobody knows when that was


def test_an_empty_cloud_has_an_empty_report(store):
    assert "0 sessions" in run("report", "--database", store.path)
    assert run("report", "--csv", "--database", store.path) == GOLDEN.splitlines(True)[0]
    assert run("chargers", "--database", store.path).strip() == "id"


def test_the_cloud_ends_with_its_parent(port, tmp_path):
    running = RunningCloud(port, tmp_path / "cloud.sqlite")
    running.process.stdin.close()
    assert running.process.wait(10) == 0


def test_tls(tmp_path):
    """Through TLS with the right CA; with another CA or another name it does not connect."""
    made = Certificates(tmp_path / "made")
    outcomes = {}
    for server in ("good", "wrong_name", "unknown"):
        files = (f"certfile {made.folder}/{server}.pem", f"keyfile {made.folder}/{server}_key.pem")
        folder = tmp_path / server
        folder.mkdir()
        with Mosquitto(folder, *files) as broker, (folder / "said").open("w+") as said:
            where = ("--broker", f"localhost:{broker.port}", "--tls", str(made.ca))
            command = [sys.executable, "-m", "tools.cloud", "serve", *where]
            command += ["--database", str(folder / "cloud.sqlite")]
            process = subprocess.Popen(command, cwd=ROOT, stderr=said)
            log = folder / "said"
            wait_for("it has tried", lambda log=log: log.read_text().count("\n") >= 2)
            process.terminate()
            assert process.wait(10) == 0
            outcomes[server] = log.read_text().splitlines()[1]
    assert "connected to" in outcomes["good"]
    assert "cannot be reached" in outcomes["wrong_name"]
    assert "cannot be reached" in outcomes["unknown"] and "certificate" in outcomes["unknown"]
