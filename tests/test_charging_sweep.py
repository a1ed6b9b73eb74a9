"""Random people, cars, faults and power cuts against the real drivers and the world's physics.

What must never happen is checked by tests/device/charging_sweep.py; here are the seeds, and for
each invariant a build that is broken on purpose, so that we know that the sweep would see it.
"""

import os
import random
import shutil

import pytest
from conftest import ROOT, Interpreter

FAKES = ROOT / "tools" / "virtual" / "board"
STEPS = 100_000
SOAK_STEPS = 1_000_000
# The made-up board has what the two real ones lack: contactor feedback and an RCD self-test.
BOARDS = {"smartevse_v3": 30, "esp32_devkit": 20, "sweep_board": 50}

# (what the sweep must say, file, text, its broken replacement[, text, replacement ...])
BROKEN = [
    (
        "not opened in the tick that saw neither C nor D",
        "charging/controller.py",
        "line.draws()",
        "self.connected",
    ),
    (
        "closed without C or D for 100 ms",
        "charging/controller.py",
        "line.draws()",
        "(line.draws() or line.letter == pilot.C)",
    ),
    (
        "closed without the diode",
        "charging/pilot.py",
        "_DIODE_MV = const(-10500)",
        "_DIODE_MV = const(20000)",
    ),
    (
        "closed without the lock confirmed",
        "charging/controller.py",
        "            and (not self._uses_lock or self.locked)\n",
        "",
        "            and (not self._uses_lock or (self.locked and self.lock.drive == DRIVE_OFF))\n",
        "",
    ),
    (
        "closed without a permit",
        "charging/controller.py",
        "or self._withdrawn_ms >= _WITHDRAWN_MS",
        "",
    ),
    ("closed with a fault", "charging/faults.py", '_DOES = b"\\x02', '_DOES = b"\\x00'),
    (
        "unlocked with the contactor",
        "charging/controller.py",
        "may_unlock = not outputs.contactor and self._confirmed_open(readings)",
        "may_unlock = True",
    ),
    (
        "unlocked with the contactor not open",
        "charging/controller.py",
        "            and not readings.contactor_closed\n"
        "            and not self.faults.is_active(faults.WELDED)\n",
        "",
    ),
    (
        "lock motor driven for",
        "board/lock_motor.py",
        "period=self.pulse_ms",
        "period=2 * self.pulse_ms",
        "elapsed_ms >= self.pulse_ms",
        "elapsed_ms >= 2 * self.pulse_ms",
    ),
    (
        "duty changed after",
        "charging/controller.py",
        "_DUTY_HOLD_MS = const(5000)",
        "_DUTY_HOLD_MS = const(1000)",
    ),
]


def sweep(interpreter, tmp_path, board, seed, steps, timeout=300, script="charging_sweep.py"):
    """Run a sweep; the copy of firmware/ in tmp_path, if there is one, comes first."""
    boards = tmp_path / "firmware" / "board"
    if not boards.exists():
        shutil.copytree(ROOT / "firmware", tmp_path / "firmware")
    shutil.copy(ROOT / "tests" / "device" / "sweep_board.py", boards)
    done = interpreter.run(script, board, seed, steps, path=[FAKES, tmp_path], timeout=timeout)
    print(interpreter.name, done.stdout)
    return done


def break_firmware(tmp_path, file, replacements):
    """A copy of firmware/ in tmp_path, in whose `file` each text is replaced by the next one."""
    shutil.copytree(ROOT / "firmware", tmp_path / "firmware")
    source = tmp_path / "firmware" / file
    text = source.read_text()
    for good, bad in zip(replacements[::2], replacements[1::2], strict=True):
        assert good in text, f"{file} has changed: {good!r} is not there to be broken"
        text = text.replace(good, bad)
    source.write_text(text)


def new_seed():
    return int(os.environ.get("SEED") or random.randrange(1 << 30))


@pytest.mark.parametrize("board", BOARDS)
def test_random_steps_never_break_an_invariant(interpreter, tmp_path, board):
    # A fifth: test_access_sweep.py checks the same invariants in all of its steps.
    sweep(interpreter, tmp_path, board, new_seed(), STEPS * BOARDS[board] // 500)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("board", BOARDS)
def test_a_million_random_steps(interpreter, tmp_path, board):
    sweep(interpreter, tmp_path, board, new_seed(), SOAK_STEPS * BOARDS[board] // 100, 7200)


@pytest.mark.parametrize("broken", BROKEN, ids=[row[0].replace(" ", "-") for row in BROKEN])
def test_the_sweep_sees_a_broken_build(tmp_path, broken):
    expected, file, *replacements = broken
    break_firmware(tmp_path, file, replacements)
    with pytest.raises(AssertionError) as failure:
        sweep(Interpreter("packaged"), tmp_path, "sweep_board", 4, 60_000)
    assert expected in str(failure.value)
