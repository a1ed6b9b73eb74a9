"""The board room on both interpreters: drivers and boot.py against the virtual hardware."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEVICE = ROOT / "tests" / "device"
FAKES = ROOT / "tools" / "virtual" / "board"


def _tests():
    """Every test function of every tests/device/board_*.py; each gets a process of its own."""
    for script in sorted(DEVICE.glob("board_*.py")):
        for name in re.findall(r"^def (test_\w+)", script.read_text(), re.M):
            yield pytest.param(script.name, name, id=f"{script.stem}-{name}")


@pytest.mark.parametrize(("script", "name"), list(_tests()))
def test_on_device(interpreter, script, name, tmp_path):
    interpreter.run(script, name, tmp_path, path=[FAKES], heap="300K", timeout=60)
