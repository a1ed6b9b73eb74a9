"""Real chargers and the reference cloud, with Mosquitto between them, when something is not right.

Two chargers with one id, a cloud that lost its database, a journal that was formatted, a fleet that
is offline on purpose: the cloud notices, says it to the operator, and no record is lost.
"""

import contextlib
import csv
import io
import time

import pytest
from cloud_process import RunningCloud, wait_for
from test_app import Charger
from test_uplink import AT_CLOUD, HINT, ID
from test_web import free_port

from tools.cloud.store import Store
from tools.virtual import image
from tools.virtual.process import STOCK_PARTITIONS

JOURNAL = (0x380000, 0x400000)
PARTITIONS = (
    *STOCK_PARTITIONS[:-1],
    (1, 129, 0x200000, JOURNAL[0] - 0x200000, "vfs", False),
    (1, 64, JOURNAL[0], JOURNAL[1] - JOURNAL[0], "journal", False),
)
PATIENCE_S = 90

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]


@pytest.fixture
def new_charger(tmp_path, broker):
    """A function that starts one more charger, all of them with the same id."""
    with contextlib.ExitStack() as stack:

        def start(number=1):
            flash = image.build_image(
                tmp_path / f"flash-{number}",
                "packaged",
                image.charger_files("packaged"),
                AT_CLOUD,
                PARTITIONS,
            )
            charger = Charger(
                "packaged",
                flash,
                ports={80: free_port()},
                hosts={"cloud.test": ("127.0.0.1", broker.port), **HINT},
                partitions=PARTITIONS,
                identity=b"\x24\x0a\xc4\0\0" + bytes([number]),
            )
            stack.enter_context(charger)
            charger.power_on()
            charger.wait_serial("holdfast: running", 30)
            return charger

        yield start


def session(charger):
    """A car comes, charges and goes."""
    charger.charge()
    charger.wait_hardware(lambda h: h["energy_wh"] > 0, 30, "some energy")
    charger.set_world(car_connected=False, car_state="B")
    charger.wait_status(lambda s: s["state"] in ("Finishing", "Available"), 30)
    charger.wait_hardware(lambda h: h["lock"] == "unlocked", 30, "the cable to be released")
    charger.set_world(plugged=False, car_connected=True)
    charger.wait_status(lambda s: s["state"] == "Available", 30)


def stored(charger):
    """Wait until the cloud has acked all there is; the journal's numbers."""
    status = charger.wait_status(lambda s: s["online"] and not s["journal"]["pending"], PATIENCE_S)
    return status["journal"]


def rows(cloud, what):
    found = csv.DictReader(io.StringIO(cloud.run("report", "--csv")))
    return [row for row in found if row["what"] == what]


def complete(cloud):
    """{(epoch, boot, session)} of the complete sessions; none is there twice."""
    found = [row for row in rows(cloud, "session") if row["complete"] == "yes"]
    names = {(int(row["epoch"]), row["boot"], row["session"]) for row in found}
    assert len(names) == len(found)
    return names


def read(cloud, query, *values):
    """The first column of a query."""
    store = Store(cloud.database, must_exist=True)
    try:
        return [row[0] for row in store.db.execute(query, values)]
    finally:
        store.close()


def kept(cloud, epoch):
    """The numbers of the records that the database has of an epoch."""
    query = "SELECT seq FROM records WHERE charger = ? AND epoch = ? ORDER BY seq"
    return read(cloud, query, ID, epoch)


def test_two_chargers_with_one_id(tmp_path, broker, new_charger):
    """The broker lets only one of them be connected: they take turns, and both get through."""
    with RunningCloud(broker.port, tmp_path / "cloud.sqlite") as cloud:
        one = new_charger(1)
        session(one)
        first = stored(one)["epoch"]
        other = new_charger(2)
        second = other.get()["journal"]["epoch"]
        assert second != first
        session(other)
        session(one)
        wait_for(
            "the sessions of both are there",
            lambda: (
                sorted(epoch for epoch, *_ in complete(cloud)) == sorted([first, first, second])
            ),
            2 * PATIENCE_S,  # each loses its turns at random moments, and waits longer each time
        )
        wait_for("that is noticed", lambda: len(rows(cloud, "same id")) == 2, PATIENCE_S)
        assert "two chargers with one id" in cloud.run("report")
        listed = cloud.run("chargers")
        assert "two chargers with this id? 2 journals take turns" in listed, listed
        assert not rows(cloud, "conflict")
        assert "two chargers with one id" in cloud.said()
        # One of them gets a name of its own: peace, and everything is there.
        two = {"charger_id": "test-2"}
        other.ask(f"charger.settings.set_many({two!r})")
        wait_for("the setting is on flash", lambda: not other.ask("charger.settings.unsaved"))
        other.power_off()
        wait_for("the first is alone", lambda: stored(one)["last_seq"] in kept(cloud, first), 90)
        journal = stored(one)
        assert kept(cloud, first) == list(range(1, journal["last_seq"] + 1))
        other.power_on()
        wait_for("the other has its name", lambda: cloud.rows().get("test-2", {}).get("online"), 60)
        stored(other)


def test_a_cloud_that_was_not_missed(tmp_path, broker, new_charger):
    """Away for less than the charger's patience: what was sent in vain goes up again at once."""
    database = tmp_path / "cloud.sqlite"
    with RunningCloud(broker.port, database) as cloud:
        charger = new_charger()
        stored(charger)
        cloud.kill()
    session(charger)
    quiet = "charger.uplink.outbox.quiet_ms > 10000"
    wait_for("what was sent has been on its way for long", lambda: charger.ask(quiet))
    connections = charger.ask("charger.uplink.worker.connections")
    assert charger.get()["online"] and charger.get()["journal"]["pending"]
    with RunningCloud(broker.port, database) as cloud:
        charger.wait_status(lambda s: not s["journal"]["pending"], 30)
        assert len(complete(cloud)) == 1 and not rows(cloud, "gap")
    assert charger.ask("charger.uplink.worker.connections") == connections


def test_a_lost_database(tmp_path, broker, new_charger):
    """What the charger still has on its flash comes again, and the report says so meanwhile."""
    database = tmp_path / "cloud.sqlite"
    with RunningCloud(broker.port, database) as cloud:
        charger = new_charger()
        session(charger)
        before = stored(charger)
        known = complete(cloud)
        assert len(known) == 1
        cloud.kill()
    for path in tmp_path.glob("cloud.sqlite*"):
        path.unlink()
    session(charger)  # nobody listens
    with RunningCloud(broker.port, database) as cloud:
        wait_for("it is noticed", lambda: "acknowledged earlier" in cloud.said(), PATIENCE_S)
        wait_for("all is there again", lambda: not cloud.rows()[ID]["notes"], PATIENCE_S)
        journal = stored(charger)
        assert journal["epoch"] == before["epoch"] and journal["acked"] > before["acked"]
        wait_for("the last is there", lambda: journal["last_seq"] in kept(cloud, journal["epoch"]))
        every = kept(cloud, journal["epoch"])
        assert every == list(range(1, every[-1] + 1))
        assert known < complete(cloud) and len(complete(cloud)) == 2
        assert not rows(cloud, "lost") and not rows(cloud, "gap")
        # The charger has it in its own journal.
        notices = read(cloud, "SELECT content FROM records WHERE kind = 'notice'")
        assert any("CloudForgot" in content for content in notices), notices


def test_a_formatted_journal(tmp_path, broker, new_charger):
    """It counts anew in another epoch; what the cloud had stays, and what is gone is told."""
    with RunningCloud(broker.port, tmp_path / "cloud.sqlite") as cloud:
        charger = new_charger()
        session(charger)
        old = stored(charger)
        known = complete(cloud)
        charger.power_off()
        with charger.flash_path.open("r+b") as flash:
            flash.seek(JOURNAL[0])
            flash.write(b"\xff" * (JOURNAL[1] - JOURNAL[0]))
        charger.power_on()
        charger.wait_status(lambda s: s["journal"]["epoch"] != old["epoch"], 30)
        session(charger)
        new = stored(charger)
        wait_for("both are there", lambda: len(complete(cloud)) == 2, PATIENCE_S)
        assert known < complete(cloud)
        assert {epoch for epoch, *_ in complete(cloud)} == {old["epoch"], new["epoch"]}
        (told,) = rows(cloud, "new epoch")
        assert "formatted" in told["note"] and str(old["epoch"]) in told["note"]
        assert "journal formatted" in cloud.run("chargers")
        assert "its journal was formatted" in cloud.said()
        assert not rows(cloud, "same id") and not rows(cloud, "conflict")


def test_offline_on_purpose(tmp_path, broker, new_charger):
    """The operator sees who has left; charging goes on, and the charger comes back by itself."""
    with RunningCloud(broker.port, tmp_path / "cloud.sqlite") as cloud:
        charger = new_charger()
        stored(charger)
        wait_for("it is listed", lambda: cloud.rows()[ID]["online"])
        cloud.run("offline", "on", "--for", "1h", "--reason", "a move")
        # At once, though it does not know yet how late it is, and so when that ends.
        away = charger.wait_status(lambda s: not s["online"], 15)
        assert away["cloud"]["state"] == "offline-on-purpose" and away["cloud"]["why"] == "a move"
        set_clock = "charger.clock.set({}, 'phone')"
        charger.ask(set_clock.format(int(time.time())))
        wait_for("the cloud knows that it left", lambda: cloud.rows()[ID]["online"] is False)
        assert "a move" in cloud.run("status")
        session(charger)
        cloud.run("offline", "off")
        assert not charger.get()["online"]
        charger.ask(set_clock.format(int(time.time()) + 3700))  # its end has come
        charger.wait_status(lambda s: s["online"], PATIENCE_S)
        wait_for("the session is there", lambda: len(complete(cloud)) == 1, PATIENCE_S)
        wait_for("it is online again", lambda: cloud.rows()[ID]["online"])
