"""The charging room by itself: pure logic in virtual time, under both interpreters."""

import pytest
from conftest import ROOT

FAKES = ROOT / "tools" / "virtual" / "board"


def test_every_pair_of_state_and_reading(interpreter):
    assert "81 pairs" in interpreter.run("charging_pilot_table.py").stdout


def test_sequences_of_the_standard(interpreter):
    assert " sequences" in interpreter.run("charging_sequences.py").stdout


@pytest.mark.parametrize("board", ["smartevse_v3", "esp32_devkit"])
def test_a_tick_allocates_nothing_in_any_state(interpreter, board):
    """Drivers, controller and the virtual hardware below them: 1,000 ticks, collector off."""
    lines = interpreter.run(
        "charging_allocation.py", board, path=[FAKES], heap="1M"
    ).stdout.splitlines()
    assert len(lines) == 13 and all(line.endswith(" 0") for line in lines), lines
