"""The policies on the whole virtual charger: cards at the reader's wire, sentences on the page.

The reader is a PN532 model that speaks its frames; settings, keys and the clock are set in the
running charger.
"""

import time

import pytest
from test_app import SETTINGS, Charger
from test_web import free_port

from tools.virtual import image
from tools.virtual.fitted import fit_reader
from tools.virtual.process import VirtualBoardError

KARI, KARIS_OTHER, GONE, STRANGER = "04A2B3C4D5E6F7", "049F3C5A", "04010203", "DEADBEEF"
KEYS = (
    {"uid": KARI, "label": "Kari", "parent": "kari"},
    {"uid": KARIS_OTHER, "label": "Kari 2", "parent": "kari"},
    {"uid": GONE, "label": "old", "expiry_s": 820000000},  # in 2025
)
MONDAY_NOON = 1795435200  # 2026-11-23 12:00 UTC, 13:00 in Oslo


class Station(Charger):
    def change(self, expression):
        """Ask for a change; where there is no memory for it just now, again a little later."""
        deadline = time.monotonic() + 15
        while True:
            try:
                return self.ask(expression)
            except VirtualBoardError as e:
                if "MemoryError" not in str(e) or time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    def settings(self, **values):
        """Put the values in force and wait until the rooms have them."""
        self.change(f"charger.settings.set_many({values!r})")
        deadline = time.monotonic() + 5
        while not self.ask("charger.configured == charger.settings.revision"):
            assert time.monotonic() < deadline, "the settings are not in force"

    def tap(self, uid):
        """Hold a card to the reader until the charger has seen it."""
        self.probe("import firmware.app\nfirmware.app.charger.board.reader.length = 0\nresult = 0")
        self.set_world(card=uid)
        deadline = time.monotonic() + 5
        while not self.ask("charger.board.reader.length"):
            assert time.monotonic() < deadline, "the card was not read"
        self.set_world(card="")

    def plug(self, state="C"):
        self.set_world(plugged=True, car_connected=True, cable_a=32, car_state=state)

    def leave(self):
        """The car drives away; the cable is free and the charger ready for the next one."""
        self.set_world(car_connected=False)
        self.wait_hardware(lambda h: h["lock"] == "unlocked", 8, "the cable to be released")
        self.set_world(plugged=False)
        self.says("NoCar", state="Available")

    def says(self, code, state=None):
        """Wait for this reason; the status then."""
        return self.wait_status(
            lambda s: s["reason"]["code"] == code and state in (None, s["state"])
        )

    def charges(self):
        return self.wait_status(lambda s: s["state"] == "Charging" and s["contactor"])


@pytest.fixture
def station(interpreter, tmp_path):
    source, wiring = fit_reader("smartevse_v3")
    flash = image.build_charger(
        tmp_path / "flash", interpreter.name, SETTINGS, boards={"smartevse_v3": source}
    )
    with Station(interpreter.name, flash, wiring, ports={80: free_port()}) as board:
        board.power_on()
        board.wait_serial("holdfast: running", 15)
        for key in KEYS:
            board.change(f"[0 for _ in charger.keys.adding({key!r})]")
        yield board


def test_every_policy_with_cards_at_the_reader(station):
    s = station
    # open: no key is needed, and none stops it
    assert s.get()["policy"] == "open" and s.get()["keys"] == 3
    s.plug()
    s.charges()
    s.tap(STRANGER)
    s.wait_status(lambda x: x["tap"] and x["tap"]["code"] == "KeyNotNeeded")
    assert s.get()["contactor"] and s.get()["session"]["key"] is None
    s.leave()

    # any key: whoever holds one up; it is recorded, and never shown whole
    s.settings(offline_policy="any_key")
    s.plug()
    assert s.says("WaitsForKey", "Preparing")["reason"]["text"] == "Hold your key to the reader."
    assert not s.get()["contactor"] and not s.get()["cable"]["locked"]
    s.tap(STRANGER)
    assert s.charges()["session"]["key"] == "DE..EF"
    s.tap(KARI)
    s.wait_status(lambda x: x["tap"] and x["tap"]["code"] == "NotYourKey")
    assert s.get()["contactor"]
    s.tap(STRANGER)  # its own key: the session ends and the cable is free
    s.says("Stopped", "Finishing")
    s.wait_hardware(lambda h: h["lock"] == "unlocked", 8, "the cable to be released")
    s.leave()

    # a known key: strangers and expired ones are refused, with a sentence each
    s.settings(offline_policy="known_key")
    s.ask(f"charger.clock.set({MONDAY_NOON}, 'phone')")
    s.plug()
    s.says("WaitsForKey")
    s.tap(STRANGER)
    assert s.says("KeyUnknown")["reason"]["text"] == "This key is not known here."
    s.tap(GONE)
    s.says("KeyExpired")
    s.tap(KARI)
    assert s.charges()["session"]["key"] == "04..F7"
    s.tap(KARIS_OTHER)  # another card of the same owner
    s.says("Stopped", "Finishing")
    s.leave()
    s.tap(KARI)  # before the plug
    assert "Plug in the cable, " in s.says("PlugIn")["reason"]["text"]
    s.plug()
    s.charges()
    s.leave()

    # a known key within the schedule: it waits with the cable locked, pauses and goes on
    s.settings(
        schedule="Mo-Fr 23:00-06:00",
        timezone="CET-1CEST,M3.5.0,M10.5.0/3",
        offline_policy="known_key+schedule",
    )
    s.tap(KARI)
    s.says("PlugIn")
    s.plug()
    waiting = s.says("WaitsForSchedule", "SuspendedEVSE")
    assert waiting["reason"]["text"] == "Waits for the schedule, 23:00."
    s.wait_status(lambda x: x["cable"]["locked"] and x["session"])
    s.ask(f"charger.clock.set({MONDAY_NOON + 10 * 3600 - 1}, 'phone')")  # a second to 23:00
    s.charges()
    s.ask(f"charger.clock.set({MONDAY_NOON + 17 * 3600 + 5}, 'phone')")  # after 06:00
    s.wait_status(lambda x: x["state"] == "SuspendedEVSE" and not x["contactor"])
    assert s.get()["session"]["id"] == waiting["session"]["id"]
    s.tap(KARI)
    s.says("Stopped")
    s.leave()


def test_silent_reader_is_shown_and_stops_nobody_under_open(station):
    s = station
    s.plug()
    s.charges()
    s.set_world(reader_fault="hangs")
    s.wait_status(lambda x: "ReaderSilent" in x["faults"] and not x["reader"]["ok"])
    assert s.get()["state"] == "Charging"
    s.leave()
    s.settings(offline_policy="known_key")
    s.plug()
    assert "reader does not answer" in s.says("ReaderSilent")["reason"]["text"]
    s.set_world(reader_fault="")
    s.says("WaitsForKey")
    assert s.get()["faults"] == []
    s.tap(KARI)
    s.charges()
