"""Charger, broker and reference cloud under cuts of power, broker, cloud and network.

The bench notes each charge that it saw at the hardware; afterwards the cloud's database must hold
each of them exactly once, with the right energy.
"""

import collections
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from test_app import Charger
from test_uplink import AT_CLOUD, HINT, ID
from test_web import free_port

from tools.bench.broker import Broker
from tools.bench.link import Link
from tools.cloud.store import Store
from tools.virtual import image
from tools.virtual.process import VirtualBoardError

_ESTIMATE_WH = 4  # the virtual meter counts whole Wh, and the charger looks four times a second
_SURE_S = 0.5  # the start of a session is durable a tenth of a second after the contactor closes
_ENDINGS = {"session_end", "session_closed"}


class Surroundings:
    """Everything around one charger, each part of which can be cut."""

    def __init__(self, interpreter, folder):
        self.folder = folder
        self.port = free_port()
        self.broker = Broker(self.port, folder)
        self.link = Link(self.port)
        self.database = folder / "cloud.sqlite"
        self.cloud = None
        self.cuts = collections.Counter()
        self.start_cloud()
        flash = image.build_image(
            folder / "flash", interpreter, image.charger_files(interpreter), AT_CLOUD
        )
        self.charger = Charger(
            interpreter,
            flash,
            ports={80: free_port()},
            hosts={"cloud.test": ("127.0.0.1", self.link.port), **HINT},
        )

    def start_cloud(self):
        where = ["--broker", f"127.0.0.1:{self.port}", "--database", str(self.database)]
        with (self.folder / "cloud.log").open("ab") as log:
            self.cloud = subprocess.Popen(
                [sys.executable, "-m", "tools.cloud", "serve", "--with-parent", *where],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def stop_cloud(self):
        if self.cloud:
            self.cloud.send_signal(signal.SIGKILL)
            self.cloud.wait()
            self.cloud.stdin.close()
            self.cloud = None
            self.cuts["cloud"] += 1

    def stop_broker(self):
        if self.broker:
            self.broker.close()
            self.broker = None
            self.cuts["broker"] += 1

    def start_broker(self):
        if not self.broker:
            self.broker = Broker(self.port, self.folder)

    def mend(self):
        """Everything is there again."""
        self.start_broker()
        if not self.cloud:
            self.start_cloud()
        self.charger.set_world(wifi=True, cloud=True)
        self.link.set(True, True)

    def disturb(self, rng):
        """One thing goes away or comes back, or nothing happens."""
        what = rng.randrange(10)
        if what == 0:
            self.stop_broker()
        elif what == 1:
            self.stop_cloud()
        elif what == 2:
            self.cuts["WiFi"] += self.charger.world["wifi"]
            self.charger.set_world(wifi=False)
            self.link.set(False, True)
        elif what == 3:
            self.cuts["internet"] += self.charger.world["cloud"]
            self.charger.set_world(cloud=False)
            self.link.set(True, False)
        elif what < 7:
            self.mend()

    def close(self):
        self.charger.close()
        self.stop_cloud()
        self.link.close()
        self.stop_broker()


def away(board):
    """Pull the plug out of the car, then out of the charger once the lock lets go."""
    board.set_world(car_connected=False, car_state="B")
    deadline = time.monotonic() + 25
    while True:
        try:
            board.set_world(plugged=False)
            return
        except VirtualBoardError:
            assert time.monotonic() < deadline, f"the lock does not let go\n{board.console()}"
            if not board.powered:
                power_up(board)
            time.sleep(0.1)


def power_up(board):
    place = board.serial_position
    board.power_on()
    board.wait_serial("holdfast: running", 30, place)


def charge_once(around, rng):
    """A car comes, charges and goes, in one way or another; the bench's note of it, or None."""
    board = around.charger
    if not board.powered:
        power_up(board)
    before_wh = board.hardware()["energy_wh"]
    board.set_world(
        plugged=True, cable_a=32, car_connected=True, car_state="C", draw_ma=32000, phases=3
    )
    board.wait_hardware(lambda h: h["contactor"] == "closed", 20, "the contactor to close")
    began = time.monotonic()
    end = began + _SURE_S + rng.uniform(0.1, 3)
    while (left_s := end - time.monotonic()) > 0:
        time.sleep(min(left_s, rng.uniform(0.05, 1)))  # the random moments are the test
        if rng.randrange(2):
            around.disturb(rng)
    cut = rng.randrange(4) == 0
    if cut:
        board.power_off()
    else:
        board.set_world(car_connected=False, car_state="B")
        board.wait_hardware(lambda h: h["contactor"] == "open", 5, "the contactor to open")
    energy_wh = board.hardware()["energy_wh"] - before_wh
    away(board)
    if rng.randrange(8) == 0 and board.powered:
        board.power_off()
    return {"energy_wh": energy_wh, "cut": cut}


def check(interpreter, folder, sessions, progress=False):
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    print("seed", seed)
    rng = random.Random(seed)
    around = Surroundings(interpreter, folder)
    try:
        power_up(around.charger)
        notes = []
        for number in range(sessions):
            notes.append(charge_once(around, rng))
            around.disturb(rng)
            if progress:
                sys.stderr.write(f"\r{number + 1}/{sessions} sessions ")
        around.mend()
        board = around.charger
        if board.powered:
            board.power_off()  # or it might wait for minutes, after so many failures
        power_up(board)
        board.wait_status(lambda s: s["online"], 60)
        status = board.wait_status(lambda s: s["journal"]["pending"] == 0, 180)
    finally:
        around.close()
    judge(notes, around.database, status["journal"])
    print("cuts beside those of power:", dict(around.cuts))


def judge(notes, database, journal):
    """Compare the cloud's database with the notes of the bench."""
    store = Store(database, must_exist=True)
    rows = store.db.execute(
        "SELECT seq, content FROM records WHERE charger = ? AND epoch = ? ORDER BY seq",
        (ID, journal["epoch"]),
    ).fetchall()
    conflicts = store.db.execute("SELECT COUNT(*) FROM conflicts").fetchone()[0]
    store.close()
    assert not conflicts
    records = [json.loads(row["content"]) for row in rows]
    assert [row["seq"] for row in rows] == list(range(1, journal["last_seq"] + 1))
    starts, ends = [], {}
    for record in records:
        if record["kind"] == "session_start":
            starts.append((record["boot"], record["session"]))
        elif record["kind"] in _ENDINGS:
            name = (record.get("session_boot") or record["boot"], record["session"])
            assert name not in ends, f"{name} ended twice"
            ends[name] = record
    assert len(starts) == len(set(starts)) == len(notes), (len(starts), len(notes))
    for note, name in zip(notes, starts, strict=True):
        record = ends[name]
        if note["cut"] and record["kind"] == "session_closed":
            assert record["reason"] == "PowerLoss", record
            assert record["energy_wh"] <= note["energy_wh"] + _ESTIMATE_WH, (record, note)
        else:
            apart_wh = abs(record["energy_wh"] - note["energy_wh"])
            assert apart_wh <= _ESTIMATE_WH + note["energy_wh"] // 10, (record, note)
    cuts = sum(note["cut"] for note in notes)
    total_wh = sum(record["energy_wh"] for record in ends.values())
    print(f"{len(notes)} sessions, {cuts} cut by power, {len(records)} records, {total_wh} Wh")


on_each = pytest.mark.parametrize("name", ["packaged", "board"])


@on_each
@pytest.mark.broker
def test_nothing_is_missing_and_nothing_is_there_twice(name, tmp_path):
    check(name, tmp_path, 5)


@on_each
@pytest.mark.soak
@pytest.mark.broker
@pytest.mark.timeout(7200)
def test_two_hundred_sessions(name, tmp_path):
    """About a quarter of an hour."""
    check(name, tmp_path, 200, progress=True)
