"""The card readers: drivers against readers that speak the wire protocol.

Nearly all of it in virtual time; at the end, on whole boards with the examples of the real board
files, in real time.
"""

import re

import pytest
from conftest import DEVICE_SCRIPTS, ROOT

from tools.virtual import image
from tools.virtual.fitted import fit_reader
from tools.virtual.process import VirtualBoard, VirtualBoardError

FAKES = ROOT / "tools" / "virtual" / "board"


def _tests():
    """Every test function of every tests/device/readers_*.py; each gets a process of its own."""
    for script in sorted(DEVICE_SCRIPTS.glob("readers_*.py")):
        for name in re.findall(r"^def (test_\w+)", script.read_text(), re.M):
            yield pytest.param(script.name, name, id=f"{script.stem}-{name}")


@pytest.mark.parametrize(("script", "name"), list(_tests()))
def test_on_device(interpreter, script, name):
    interpreter.run(script, name, path=[FAKES], heap="400K", timeout=120)


MAIN = """
import binascii
import time

from firmware.board.load import load_board


class Settings:
    mains_v = 230
    phases = 1
    meter_pulses_per_kwh = 1000


reader = load_board("{}", Settings).reader
print("reads from", reader.name)
ok = True
while True:
    if reader.step(time.ticks_ms() & 0x3FFFFFFF):
        print("tap", binascii.hexlify(reader.uid[: reader.length]).decode().upper())
    if reader.ok != ok:
        ok = reader.ok
        print("ok", ok)
    time.sleep_ms(16)
"""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("smartevse_v3", "pn532_uart"),
        ("esp32_devkit", "pn532_i2c"),
        ("esp32_devkit", "wiegand"),
    ],
)
def test_the_examples_of_the_board_files_read_cards(interpreter, tmp_path, name, kind):
    source, wiring = fit_reader(name, kind)
    flash = image.build_charger(
        tmp_path / "flash",
        interpreter.name,
        extra={"main.py": MAIN.format(name).encode()},
        boards={name: source},
    )
    with VirtualBoard(interpreter.name, flash, wiring) as board:
        board.power_on()
        board.wait_serial("reads from " + kind, 15)
        for field, value in (("card", "04A"), ("card", "0g"), ("reader_fault", "bored")):
            with pytest.raises(VirtualBoardError):
                board.set_world(**{field: value})
        board.set_world(card="04A2B3C4")
        place = board.wait_serial("tap 04A2B3C4\r\n", 5)
        if kind != "wiegand":
            board.set_world(card="04A2B3C4D5E6F7")
            place = board.wait_serial("tap 04A2B3C4D5E6F7\r\n", 5, place)
            board.set_world(reader_fault="unplugged")
            board.wait_serial("ok False", 5, place)
            board.set_world(reader_fault="", card="0102030405060708090A")
            board.wait_serial("ok True", 10, place)
            place = board.wait_serial("tap 0102030405060708090A\r\n", 5, place)
            # The card lies there while the power goes and comes back.
            board.power_off()
            place = board.serial_position
            board.power_on()
            board.wait_serial("tap 0102030405060708090A\r\n", 15, place)
        assert board.hardware()["callback_errors"] == 0
        assert board.serial_log.count(b"tap") == (4 if kind != "wiegand" else 1)
        assert board.stderr == ""


def test_a_board_without_an_example():
    with pytest.raises(LookupError, match="wiegand"):
        fit_reader("smartevse_v3", "wiegand")
