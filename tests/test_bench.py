"""The bench: every action of the contract, what it refuses, and how it starts and ends."""

import asyncio
import csv
import io
import json
import os
import shlex
import signal
import socket
import subprocess
import time

import pytest
from microdot.test_client import TestClient

from firmware.settings_file import encode
from tests.bench_process import ROOT, RunningBench, start, wait_until_gone
from tools.bench import broker, flash, server, surroundings
from tools.bench.ports import PortError, choose_ports
from tools.bench.surroundings import FAULTS, Surroundings
from tools.virtual.process import LOCK_HOLDS, VirtualBoardError

# A bench on its own, without a charger behind it


class StillBoard:
    """What the bench needs of a virtual board; nothing in it moves by itself."""

    board = {"reader": {}}
    serial_log = b"one\r\ntwo\r\n"
    serial_position = 10

    def __init__(self):
        self.powered = True
        self.world = {
            "plugged": False,
            "car_connected": True,
            "cable_a": 32,
            "car_state": "B",
            "draw_ma": 16000,
            "phases": 1,
            "asleep": False,
            "ignores_duty": False,
            "lock_permille": 0,
            "diode": True,
            "temperature_dc": 250,
            "rcd_self_test_ok": True,
            "wifi": True,
            "cloud": True,
            "welded": False,
            "jammed": False,
            "rcd_tripped": False,
            "pilot_short": False,
            "meter_silent": False,
            "contactor_stuck_open": False,
            "lock_feedback_broken": False,
            "card": "",
            "reader_fault": "",
        }

    def set_world(self, **fields):
        assert set(fields) <= set(self.world)
        if not fields.get("plugged", True) and self.world["lock_permille"] > LOCK_HOLDS:
            raise VirtualBoardError("the lock holds the plug")
        self.world.update(fields)

    def power_on(self):
        self.powered = True

    def power_off(self):
        self.powered = False

    def hardware(self):
        measured = ("duty_permille", "pilot_high_mv", "pilot_low_mv", "current_ma", "energy_wh")
        shown = {"contactor": "open", "lock": "unlocked", "outputs": {}, "resets": []}
        return {**shown, **dict.fromkeys(measured, 0), "powered": self.powered, **self.world}


class Client:
    """Requests to the bench's routes, without a socket."""

    def __init__(self, board):
        facts = {"page": "http://127.0.0.1:1/", "ready": True}
        self._client = TestClient(server.make_server(Surroundings(board), board, facts))

    def ask(self, method, path, body=b"", **headers):
        headers = {"Host": "127.0.0.1:8081", **headers}
        answer = asyncio.run(self._client.request(method, path, headers, body))
        return answer.status_code, answer

    def post(self, path, body, **headers):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        status, answer = self.ask("POST", path, body, **headers)
        return status, answer.json


@pytest.fixture
def board():
    return StillBoard()


@pytest.fixture
def client(board):
    return Client(board)


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/plug", {}, "cable_a"),
        ("/plug", {"cable_a": 16}, "cable_a"),
        ("/plug", {"cable_a": True}, "cable_a"),
        ("/plug", {"cable_a": "32"}, "cable_a"),
        ("/plug", {"cable_a": 32.0}, "cable_a"),
        ("/plug", {"cable_a": [32]}, "cable_a"),
        ("/plug", {"cable_a": 32, "cabel": 1}, "cabel"),
        ("/car", {}, "state"),
        ("/car", {"state": "E"}, "state"),
        ("/car", {"state": None}, "state"),
        ("/car", {"state": "C", "draw_a": -1}, "draw_a"),
        ("/car", {"state": "C", "draw_a": 80.1}, "draw_a"),
        ("/car", {"state": "C", "draw_a": "16"}, "draw_a"),
        ("/car", {"state": "C", "draw_a": True}, "draw_a"),
        ("/car", b'{"state": "C", "draw_a": NaN}', "draw_a"),
        ("/car", b'{"state": "C", "draw_a": 1e999}', "draw_a"),
        ("/car", {"state": "C", "phases": 2}, "phases"),
        ("/car", {"state": "C", "asleep": 1}, "asleep"),
        ("/fault", {"name": "rcd"}, "on"),
        ("/fault", {"name": "rcd", "on": 1}, "on"),
        ("/fault", {"name": "nonsense", "on": True}, "name"),
        ("/fault", {"on": True}, "name"),
        ("/temperature", {"temperature_c": 200}, "temperature_c"),
        ("/power", {}, "on"),
        ("/power", {"on": "off"}, "on"),
        ("/network", {}, "wifi"),
        ("/network", {"wifi": True, "cloud": 0}, "cloud"),
        ("/tap", {}, "uid"),
        ("/tap", {"uid": ""}, "uid"),
        ("/tap", {"uid": "04A2B3"}, "4, 7 or 10 bytes"),
        ("/tap", {"uid": "04A2B3C4D5"}, "uid"),
        ("/tap", {"uid": "04A2B3C"}, "uid"),
        ("/tap", {"uid": "04A2B3CG"}, "hexadecimal"),
        ("/tap", {"uid": "04A2B3C4D5E6F7890123AA"}, "uid"),
        ("/tap", {"uid": "04" * 2000}, "uid"),
        ("/tap", {"uid": 4}, "uid"),
        ("/tap", {"uid": None}, "uid"),
        ("/tap", {"uid": ["04A2B3C4"]}, "uid"),
        ("/tap", {"uid": "04A2B3C4", "for_s": 1}, "for_s"),
        ("/plug", b"", "cable_a"),
        ("/plug", b"{", "JSON object"),
        ("/plug", b"[32]", "JSON object"),
        ("/plug", b"\xff\xfe", "JSON object"),
        ("/plug", b"[" * 4000, "JSON object"),
    ],
)
def test_bad_input_names_the_field_and_changes_nothing(board, client, path, body, named):
    before = dict(board.world)
    status, content = client.post(path, body)
    assert status == 400
    assert named in content["error"]
    assert content["error"].endswith(".")
    assert board.world == before
    assert board.powered


def test_what_is_refused_says_so_as_json(board, client):
    assert client.post("/nonsense", {})[0] == 404
    assert "/nonsense" in client.post("/nonsense", {})[1]["error"]
    assert client.post("/hardware", {})[0] == 405
    status, content = client.post("/plug", b"x" * 5000)
    assert status == 413 and "4096" in content["error"]
    assert client.post("/unplug", {})[0] == 409
    assert client.post("/car", {"state": "A"})[0] == 409
    assert client.post("/plug", {"cable_a": 32})[0] == 200
    assert client.post("/plug", {"cable_a": 32})[0] == 409


def test_other_pages_of_the_browser_cannot_act(board, client):
    assert client.post("/plug", {"cable_a": 32}, Origin="http://example.org")[0] == 403
    assert client.post("/plug", {"cable_a": 32}, Host="example.org")[0] == 403
    assert client.post("/plug", {"cable_a": 32}, Origin="http://127.0.0.1:8081")[0] == 200


def test_each_fault_is_set_and_cleared_alone(board, client):
    for name in FAULTS:
        before = dict(board.world)
        assert client.post("/fault", {"name": name, "on": True})[1]["faults"][name] is True
        changed = {field for field in before if board.world[field] != before[field]}
        assert changed == {FAULTS[name][0]}
        shown = client.post("/fault", {"name": name, "on": False})[1]["faults"]
        assert not any(shown.values())
        assert board.world == before


def test_only_the_lock_holds_the_plug(board, client):
    client.post("/plug", {"cable_a": 20})
    client.post("/car", {"state": "C", "draw_a": 10.5})
    assert board.world["draw_ma"] == 10500
    board.world["lock_permille"] = 1000
    status, content = client.post("/unplug", {})
    assert status == 409 and "lock" in content["error"]
    assert client.post("/car", {"state": "A"})[1]["car"]["state"] == "A"
    assert board.world["plugged"] and not board.world["car_connected"]
    board.world["lock_permille"] = 0
    status, hardware = client.post("/unplug", {})
    assert status == 200 and hardware["plugged"] is False
    assert client.post("/plug", {"cable_a": 63})[1]["car"]["state"] == "B"


def wait_until(condition, within_s=5):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_tap_holds_the_card_there_and_takes_it_away(board, client, monkeypatch):
    assert surroundings.CARD_LIES_S == 1.0
    monkeypatch.setattr(surroundings, "CARD_LIES_S", 0.05)
    for uid in ("04a2b3c4", "04:A2:B3:C4:D5:E6:F7", "04A2B3C4D5E6F7890123"):
        status, content = client.post("/tap", {"uid": uid})
        wanted = uid.replace(":", "").upper()
        assert status == 200 and content["uid"] == content["card"] == wanted
        wait_until(lambda: not board.world["card"])
        assert client.ask("GET", "/hardware")[1].json["card"] is None
    # The second of two taps lies there for its whole time.
    monkeypatch.setattr(surroundings, "CARD_LIES_S", 30)
    client.post("/tap", {"uid": "01020304"})
    monkeypatch.setattr(surroundings, "CARD_LIES_S", 0.2)
    assert client.post("/tap", {"uid": "05060708"})[1]["card"] == "05060708"
    wait_until(lambda: not board.world["card"])


def test_a_tap_needs_power_and_a_reader(board, client):
    board.powered = False
    status, content = client.post("/tap", {"uid": "04A2B3C4"})
    assert status == 409 and "power" in content["error"]
    board.powered = True
    board.board = {}
    status, content = client.post("/tap", {"uid": "04A2B3C4"})
    assert status == 409 and "reader" in content["error"]
    assert client.post("/tap", {"uid": "04A2B3"})[0] == 400
    assert board.world["card"] == ""


def test_the_serial_log_comes_in_pieces(board, client):
    tail = client.ask("GET", "/serial")[1].json
    assert tail == {"text": "one\r\ntwo\r\n", "from": 0, "next": 10}
    assert client.ask("GET", "/serial?from=5")[1].json["text"] == "two\r\n"
    # A page that has seen more than there is (the bench was restarted) starts again.
    assert client.ask("GET", "/serial?from=99")[1].json["from"] == 0
    assert client.ask("GET", "/serial?from=x")[0] == 400


def test_ports_are_checked_before_anything_starts():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"Port {busy} .*MQTT_PORT"):
            choose_ports({"HTTP_PORT": "0", "BENCH_PORT": "0", "MQTT_PORT": str(busy)})
    free = choose_ports({"HTTP_PORT": "0", "BENCH_PORT": "0", "MQTT_PORT": "0"})
    assert len(set(free)) == 3
    with pytest.raises(PortError, match="both"):
        choose_ports({"HTTP_PORT": str(free.http), "BENCH_PORT": str(free.http), "MQTT_PORT": "0"})
    for nonsense in ("http", "-1", "65536", "8080.5"):
        with pytest.raises(PortError, match="HTTP_PORT"):
            choose_ports({"HTTP_PORT": nonsense})


def test_without_mosquitto_there_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(broker.shutil, "which", lambda *_, **__: None)
    with pytest.raises(broker.BrokerError, match="apt-get install mosquitto"):
        broker.Broker(1, tmp_path)


# The flash between two runs


def prepare(folder, **how):
    """A flash in `folder`, with its lock given back at once."""
    made = flash.prepare_flash(folder, interpreter="packaged", board="smartevse_v3", **how)
    made.lock.close()
    return made


def read(made, *names):
    return flash._edit(made.image, "packaged", {"read": names})


def test_changed_sources_are_flashed_and_the_rest_is_kept(tmp_path):
    first = prepare(tmp_path, charger_id="garage-7")
    current = read(first, "firmware/version.json")
    staged = tmp_path / "staged"
    (staged / "firmware").mkdir(parents=True)
    for name, data in {
        "firmware/version.json": b"{}",
        "firmware/gone.mpy": b"of an older tree",
        "settings.json": encode({"pin": first.pin, "installation_limit_a": 20}),
        "journal": b"what the charger wrote",
    }.items():
        (staged / name).write_bytes(data)
    flash._edit(first.image, "packaged", {"write": str(staged), "tidy": []})

    again = prepare(tmp_path)
    assert again.pin == first.pin
    files = read(again, "firmware/version.json", "firmware/gone.mpy", "settings.json", "journal")
    assert "firmware/gone.mpy" not in files
    assert files["firmware/version.json"] == current["firmware/version.json"]
    assert files["journal"] == b"what the charger wrote"
    assert json.loads(files["settings.json"])["values"]["installation_limit_a"] == 20


def test_an_unreadable_flash_is_left_alone(tmp_path):
    made = prepare(tmp_path)
    damaged = bytes(made.image.stat().st_size)
    made.image.write_bytes(damaged)
    with pytest.raises(flash.FlashError, match="FRESH=1"):
        prepare(tmp_path)
    assert made.image.read_bytes() == damaged
    assert prepare(tmp_path, fresh=True).pin


# The whole of it: bench, charger and broker as processes


@pytest.fixture(scope="module", params=["board", "packaged"])
def running(request, tmp_path_factory):
    with RunningBench(tmp_path_factory.mktemp("bench"), INTERPRETER=request.param) as running:
        yield running


@pytest.fixture
def bench(running):
    running.tidy()
    return running


def test_the_ready_line_tells_where_everything_is(bench):
    ready = bench.ready
    assert ready["ready"] is True
    assert ready["pin"].isdecimal() and len(ready["pin"]) == 6
    assert os.path.exists(ready["serial"])
    host, port = ready["mqtt"].split(":")
    socket.create_connection((host, int(port)), 5).close()
    assert {"id", "state", "pilot", "reason"} <= set(bench.get("api/status", ready["page"])[1])


def test_a_car_charges_at_the_right_amps_and_leaves(bench):
    assert bench.post("plug", cable_a=13)[0] == 200
    assert bench.post("car", state="C", draw_a=32)[0] == 200
    charging = bench.wait_for(
        "13 A flow, as the cable allows",
        lambda hw: hw["contactor"] == "closed" and hw["current_ma"] > 12700,
    )
    assert charging["lock"] == "locked"
    assert 12900 <= charging["duty_permille"] * 60 <= 13050
    assert charging["current_ma"] <= 13050
    assert 5480 <= charging["pilot_high_mv"] <= 6490
    assert -12600 <= charging["pilot_low_mv"] <= -11400
    bench.wait_for("energy is counted", lambda hw: hw["energy_wh"] > charging["energy_wh"])
    assert bench.get("api/status", bench.ready["page"])[1]["state"] == "Charging"

    status, content = bench.post("unplug")
    assert status == 409 and "lock" in content["error"]
    assert bench.hardware()["plugged"]

    assert bench.post("car", state="B")[0] == 200
    bench.wait_for("the contactor opens", lambda hw: hw["contactor"] == "open")
    assert bench.hardware()["current_ma"] == 0
    assert bench.post("car", state="A")[0] == 200
    bench.wait_for("the cable is released", lambda hw: hw["lock"] == "unlocked", within_s=5)
    assert bench.post("unplug")[0] == 200
    bench.wait_for_charger("the charger is free", lambda s: s["state"] == "Available")


def test_the_power_goes_and_comes_back_with_a_car(bench):
    assert bench.post("plug", cable_a=32)[0] == 200
    assert bench.post("car", state="C", draw_a=10)[0] == 200
    bench.wait_for("it charges", lambda hw: hw["contactor"] == "closed" and hw["current_ma"] > 9000)
    off = bench.post("power", on=False)[1]
    assert not off["powered"] and off["contactor"] == "open" and off["current_ma"] == 0
    assert off["duty_permille"] == 0
    assert off["lock"] == "locked"
    assert bench.post("unplug")[0] == 409
    with pytest.raises(OSError):
        bench.get("", bench.ready["page"])
    assert bench.post("power", on=True)[1]["powered"]
    bench.wait_for("it charges again", lambda hw: hw["contactor"] == "closed", within_s=40)


def test_a_fault_stops_the_charge(bench):
    assert bench.post("plug", cable_a=32)[0] == 200
    assert bench.post("car", state="C", draw_a=16)[0] == 200
    bench.wait_for("it charges", lambda hw: hw["contactor"] == "closed")
    assert bench.post("fault", name="rcd", on=True)[0] == 200
    bench.wait_for("the contactor opens", lambda hw: hw["contactor"] == "open", within_s=5)
    status = bench.wait_for_charger("it says why", lambda s: s["faults"])
    assert status["state"] == "Faulted"
    assert bench.post("fault", name="rcd", on=False)[0] == 200
    assert bench.post("car", state="A")[0] == 200
    bench.wait_for("the cable is released", lambda hw: hw["lock"] == "unlocked")
    assert bench.post("unplug")[0] == 200
    bench.wait_for_charger("the fault is gone", lambda s: s["state"] == "Available")


def test_a_card_lies_there_for_a_second(bench):
    began = time.monotonic()
    status, content = bench.post("tap", uid="04:A2:B3:C4")
    assert status == 200 and content["uid"] == content["card"] == "04A2B3C4"
    bench.wait_for("the card is taken away", lambda hw: hw["card"] is None, within_s=5)
    assert 0.9 <= time.monotonic() - began <= 3
    assert bench.post("power", on=False)[0] == 200
    status, content = bench.post("tap", uid="04A2B3C4")
    assert status == 409 and "power" in content["error"]
    assert bench.hardware()["card"] is None


@pytest.mark.broker
@pytest.mark.timeout(300)
def test_the_cloud_has_the_sessions_and_commands_the_charger(tmp_path):
    """With the commands that an operator types, beside the bench of `make run`."""
    with RunningBench(tmp_path, INTERPRETER="packaged") as bench:
        report = shlex.split(bench.ready["report"])

        def cloud(*arguments):
            python, dash_m, module, _, *database = report
            command = [python, dash_m, module, *arguments, *database]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, (arguments, done.stdout, done.stderr)
            return done.stdout

        def sessions():
            found = csv.DictReader(io.StringIO(cloud("report", "--csv")))
            return [row for row in found if row["what"] == "session"]

        its_id = bench.ready["id"]
        bench.wait_for_charger("the cloud answers", lambda s: s["online"], 60)
        bench.post("plug", cable_a=32)
        bench.post("car", state="C", draw_a=32)
        bench.wait_for("16 A flow", lambda hw: hw["current_ma"] > 15000)

        assert json.loads(cloud("send", its_id, "limit", "10", "5m"))["ok"]
        limited = bench.wait_for("10 A are offered", lambda hw: hw["duty_permille"] in (166, 167))
        assert limited["contactor"] == "closed"
        bench.wait_for("10 A flow", lambda hw: 9000 < hw["current_ma"] <= 10100)
        bench.wait_for("energy is counted", lambda hw: hw["energy_wh"] > limited["energy_wh"])

        answer = json.loads(cloud("send", its_id, "unlock"))
        assert answer["ok"] and answer["locked"] is False
        open_now = bench.hardware()
        assert open_now["contactor"] == "open" and open_now["lock"] == "unlocked"
        assert bench.post("unplug")[0] == 200

        deadline = time.monotonic() + 60
        while not (rows := sessions()) or rows[0]["complete"] != "yes":
            assert time.monotonic() < deadline, rows
            time.sleep(0.2)
        (row,) = rows
        assert row["charger"] == its_id and row["reason"] == "UnlockCommand"
        assert abs(int(row["energy_wh"]) - bench.hardware()["energy_wh"]) <= 2
        assert its_id in cloud("chargers") and its_id in cloud("report")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind(tmp_path, number):
    with RunningBench(tmp_path) as bench:
        started = bench.descendants()
        assert len(started) >= 2  # the charger and the broker
        out, err = bench.end(number)
        wait_until_gone(started)
        assert out == "" and "Traceback" not in err
        assert bench.process.returncode == (-9 if number == signal.SIGKILL else 0)


def test_the_flash_survives_a_restart_and_a_fresh_one_is_new(tmp_path):
    with RunningBench(tmp_path, ID="garage-7") as bench:
        first = bench.ready
        assert bench.get("api/status", first["page"])[1]["id"] == "garage-7"
    with RunningBench(tmp_path) as bench:
        assert bench.ready["pin"] == first["pin"]
        assert bench.get("api/status", bench.ready["page"])[1]["id"] == "garage-7"
        second = start(tmp_path, HEADLESS="1", HTTP_PORT="0", BENCH_PORT="0", MQTT_PORT="0")
        _, err = second.communicate(timeout=20)
        assert second.returncode == 1
        assert "flash" in err and "Traceback" not in err
    with RunningBench(tmp_path, FRESH="1") as bench:
        assert bench.get("api/status", bench.ready["page"])[1]["id"] != "garage-7"


def test_the_other_board_runs_as_well(tmp_path):
    with RunningBench(tmp_path, BOARD="esp32_devkit") as bench:
        bench.wait_for_charger("the charger is free", lambda s: s["state"] == "Available")
        assert bench.post("plug", cable_a=32)[0] == 200
        assert bench.post("car", state="C", draw_a=32)[0] == 200
        bench.wait_for("it charges", lambda hw: hw["contactor"] == "closed")


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"BOARD": "nonsense"}, "BOARD is 'nonsense'"),
        ({"INTERPRETER": "nonsense"}, "INTERPRETER is 'nonsense'"),
        ({"BENCH_PORT": "99999"}, "BENCH_PORT is '99999'"),
        ({"ID": "two words"}, "ID"),
    ],
)
def test_a_bad_start_is_a_sentence(tmp_path, environment, sentence):
    process = start(
        tmp_path, **{"HTTP_PORT": "0", "BENCH_PORT": "0", "MQTT_PORT": "0", **environment}
    )
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert sentence in err
    assert "Traceback" not in err


def test_a_busy_port_is_a_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = str(taken.getsockname()[1])
        process = start(tmp_path, HTTP_PORT=busy, BENCH_PORT="0", MQTT_PORT="0")
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert busy in err and "HTTP_PORT" in err and "Traceback" not in err
