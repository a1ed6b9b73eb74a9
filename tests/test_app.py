"""The composition root: the tick in virtual time, the whole charger on the virtual board."""

import contextlib
import gzip
import http.client
import json
import time
import urllib.request

import pytest
from conftest import ROOT
from test_web import free_port

from firmware.settings_file import encode
from tools.virtual import image
from tools.virtual.process import VirtualBoard

FAKES = ROOT / "tools" / "virtual" / "board"
TASKS = "[t.name for t in charger.supervisor.tasks]"
SETTINGS = {"board": "smartevse_v3", "charger_id": "test-1", "watchdog_s": 3}


def test_tick(interpreter):
    # Small integers of 63 bits and native floats make the packaged one a poor judge of allocations.
    what = "count" if interpreter.name == "board" else ""
    interpreter.run("app_tick.py", what, path=[FAKES])


class Charger(VirtualBoard):
    """A virtual board with the firmware on it, and questions to ask it."""

    def get(self, path="/api/status"):
        url = f"http://127.0.0.1:{self.ports[80]}{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            data = answer.read()
            if answer.headers["content-encoding"] == "gzip":
                data = gzip.decompress(data)
            return json.loads(data) if path.startswith("/api") else data.decode()

    def wait_status(self, condition, timeout_s=15):
        """Poll the page until `condition(status)`; returns that status."""
        deadline = time.monotonic() + timeout_s
        status = None
        while time.monotonic() < deadline:
            # A restart may cut an answer short.
            with contextlib.suppress(OSError, http.client.HTTPException):
                status = self.get()
                if condition(status):
                    return status
            time.sleep(0.1)
        raise AssertionError(f"status after {timeout_s} s: {status}\n{self.console()}")

    def ask(self, expression):
        return self.probe(
            f"import firmware.app\ncharger = firmware.app.charger\nresult = {expression}"
        )

    def console(self):
        return bytes(self.serial_log).decode(errors="replace")

    def charge(self):
        """Plug a car in and wait until it charges."""
        self.set_world(plugged=True, cable_a=32, car_state="C", draw_ma=32000)
        self.wait_hardware(lambda h: h["contactor"] == "closed", 10, "the contactor to close")


@pytest.fixture
def charger(interpreter, tmp_path):
    """A function that starts a charger with these settings, or with these files instead."""
    started = []

    def start(settings=SETTINGS, extra=None, wait="holdfast: running", wiring="smartevse_v3"):
        flash = image.build_charger(tmp_path / "flash", interpreter.name, settings, extra)
        one = Charger(interpreter.name, flash, wiring, ports={80: free_port()})
        started.append(one)
        one.power_on()
        one.wait_serial(wait, 15)
        return one

    yield start
    for one in started:
        one.close()


@pytest.mark.parametrize("board", ["esp32_devkit", "sweep_board"])
def test_other_boards_charge(charger, board):
    """The other real board, and one that exists as data of the tests alone."""
    wiring = ROOT / "firmware" / "board" / f"{board}.py"
    extra = {}
    if not wiring.exists():
        wiring = ROOT / "tests" / "device" / f"{board}.py"
        extra[f"firmware/board/{board}.py"] = wiring.read_bytes()
    tethered = board == "esp32_devkit"
    settings = {**SETTINGS, "board": board, "tethered": tethered, "tethered_cable_a": 20}
    c = charger(settings, extra, wiring=wiring)
    c.charge()
    c.wait_hardware(lambda h: 15000 <= h["current_ma"] <= 16000, 10, "16 A to flow")
    status = c.wait_status(lambda s: s["state"] == "Charging")
    assert status["cable"]["rating_a"] == (20 if tethered else 32)
    assert c.hardware()["lock"] == ("unlocked" if tethered else "locked")
    c.set_world(car_state="B")
    c.wait_hardware(lambda h: h["contactor"] == "open", 5, "the contactor to open")


def test_boots_serves_and_charges(charger):
    c = charger()
    c.wait_serial("after=power-on", 5)
    assert "id=test-1 version=" in c.console() and "board=smartevse_v3 boot=1" in c.console()
    assert c.console().count("aiorepl is not installed") == 1

    status = c.get()
    assert status["id"] == "test-1" and status["state"] == "Available" and status["pilot"] == "A"
    assert status["reason"] == {"code": "NoCar", "text": "No car is connected."}
    assert status["session"] is None and status["cable"]["plugged"] is False
    assert status["limit_a"] == 16 and status["faults"] == [] and status["notice"] is None
    assert "</html>" in c.get("/")

    c.type("\x05")  # ENQ
    c.wait_serial('holdfast: status {"', 5)
    assert '"contactor": false' in c.console()

    c.charge()
    status = c.wait_status(lambda s: s["state"] == "Charging" and s["contactor"])
    assert status["pilot"] == "C2" and status["reason"]["code"] == "Charging"
    assert status["cable"] == {"plugged": True, "locked": True, "rating_a": 32}
    assert status["session"]["id"] == 1 and status["session"]["key"] is None
    c.wait_hardware(lambda h: 15000 <= h["current_ma"] <= 16000, 10, "16 A to flow")

    # A setting changed now is in force at once, and on flash when the contactor is open.
    erases = c.hardware()["flash_programs"]
    c.ask('charger.settings.set_many({"installation_limit_a": 10})')
    c.wait_hardware(lambda h: h["duty_permille"] in (166, 167), 15, "10 A to be offered")
    assert c.hardware()["flash_programs"] == erases and c.ask("charger.settings.unsaved")
    c.set_world(car_state="B")
    c.wait_hardware(lambda h: h["flash_programs"] > erases, 10, "flash to be written")
    deadline = time.monotonic() + 10
    while c.ask("charger.settings.unsaved"):
        assert time.monotonic() < deadline, "the settings were not saved"

    # The next start knows it; the boot number counts.
    c.power_off()
    place = c.serial_position
    c.power_on()
    c.wait_serial("boot=2", 15, place)
    c.wait_status(lambda s: s["state"] != "Unavailable" and s["limit_a"] == 10)
    assert c.stderr == ""
    if c.interpreter == "board":
        free = c.probe("import gc\ngc.collect()\nresult = gc.mem_free()")
        print("heap free of 110 KB after boot:", free)
        assert free > 12000, "too little is left for requests and for the rooms to come"


def test_killed_tasks_come_back_while_the_car_charges(charger):
    c = charger()
    c.charge()
    assert c.get()["tasks"] == []  # those that ended, and no other
    names = c.ask(TASKS)[1:]
    assert names == ["journal", "housekeeping", "ntp", "web", "console"]
    for name in names:
        assert c.ask(f'charger.supervisor.kill("{name}")') is True
    status = c.wait_status(lambda s: [t["restarts"] for t in s["tasks"]] == [1] * 5)
    assert [t["name"] for t in status["tasks"]] == names
    assert all("Cancelled" in t["why"] for t in status["tasks"]), status["tasks"]
    assert c.hardware()["contactor"] == "closed" and c.resets == ["power"]
    feeds = c.feeds
    c.wait_hardware(lambda h: c.feeds > feeds + 2, 5, "the watchdog to be fed")


@pytest.mark.parametrize(
    "end",
    [
        'charger.supervisor.kill("charging")',
        'setattr(charger, "clock", None)',  # the next tick raises
        'setattr(charger.supervisor, "tasks", None)',  # the supervisor itself dies
        'main.__dict__.update(hang=__import__("asyncio").create_task(hang()))',
    ],
    ids=["killed", "raises", "supervisor", "hangs"],
)
def test_without_ticks_the_contactor_opens_and_the_watchdog_bites(charger, end):
    c = charger()
    c.charge()
    place = c.serial_position
    c.probe("async def hang():\n while True:\n  pass\nmain.hang = hang")
    c.probe(
        "import firmware.app\ncharger = firmware.app.charger\nhang = main.hang\n" + end,
    )
    c.wait_hardware(lambda h: h["contactor"] == "open", 2, "the contactor to open")
    c.wait_hardware(lambda h: c.resets == ["power", "wdt"], 6, "the watchdog to bite")
    c.wait_serial("after=watchdog", 15, place)
    # and the car, which is still there, is served again
    c.wait_hardware(lambda h: h["contactor"] == "closed", 10, "the contactor to close again")


def test_ctrl_c_opens_the_contactor(charger):
    c = charger()
    c.charge()
    place = c.serial_position
    c.type("\x03")
    c.wait_serial("holdfast: stopped; outputs safe", 5, place)
    c.wait_hardware(lambda h: h["contactor"] == "open", 2, "the contactor to open")
    c.wait_serial(">>>", 5, place)


@pytest.mark.parametrize("board", ["", "nonsense", "nvs"])
def test_refused_board(charger, board):
    c = charger({**SETTINGS, "board": board}, wait="holdfast: not charging, outputs safe:")
    status = c.wait_status(lambda s: True)
    assert status["state"] == "Faulted" and status["reason"]["code"] == "BoardRefused"
    assert status["reason"]["text"] in c.console()
    assert "board" in status["reason"]["text"] and status["contactor"] is False
    assert c.hardware()["outputs"] == {} and c.feeds == 0
    assert c.ask(TASKS) == ["housekeeping", "ntp", "web", "console"]


def test_damaged_settings(charger):
    good = encode(SETTINGS)
    extra = {"settings.json": good[:-9], "settings.bak": good}
    c = charger(None, extra, wait="settings.json is damaged")
    status = c.wait_status(lambda s: s["state"] == "Available")
    assert status["id"] == "test-1" and "before the last save" in status["notice"]
    assert c.hardware()["contactor"] == "open"


def test_what_is_needed_briefly_takes_nothing_along(interpreter, tmp_path):
    interpreter.run("briefly_check.py", tmp_path)
