"""1,000 sessions of 8 checkpoints on flash, beside a JSON line appended to a file and flushed."""

from __future__ import annotations

import os
import pathlib
import subprocess

from tools.benchmarks.table import Row
from tools.virtual import process

ROOT = pathlib.Path(__file__).resolve().parents[2]
SESSIONS = 1000


def _cost(way):
    """{name: number} that the device script prints."""
    tests = ROOT / "tests" / "device"
    done = subprocess.run(
        [
            process.interpreter_path("packaged"),
            "-X",
            "heapsize=64M",
            str(tests / "journal_cost.py"),
            way,
            str(SESSIONS),
        ],
        env={**os.environ, "MICROPYPATH": f"{ROOT}:{tests}:.frozen"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: int(value) for name, value in map(str.split, done.stdout.splitlines())}


def measure():
    plain = _cost("json")
    rows = []
    ways = [("raw store", _cost("raw")), ("LittleFS store", _cost("files"))]
    btree = _cost("btree")
    if "missing" not in btree:  # neither Debian's interpreter nor the board's has it
        ways.append(("btree on LittleFS", btree))
    named = "JSON line, flushed"
    for name, cost in ways:
        rows += [
            Row(f"{name}: erases", cost["erases"], "", named, plain["erases"]),
            Row(
                f"{name}: programmed per payload byte",
                cost["programmed"] / cost["payload"],
                "B",
                named,
                plain["programmed"] / plain["payload"],
            ),
            Row(
                f"{name}: worst append, modelled (erase 45 ms, page 0.8 ms)",
                cost["worst_us"] / 1000,
                "ms",
                named,
                plain["worst_us"] / 1000,
            ),
        ]
        if "boot_bytes" in cost:
            rows.append(
                Row(f"{name}: read at boot", cost["boot_bytes"], "B", named, plain["boot_bytes"])
            )
    raw, files = ways[0][1], ways[1][1]
    assert plain["erases"] >= 60 * raw["erases"], "the raw store erases too often"
    assert plain["erases"] >= 2 * files["erases"], "the LittleFS store erases too often"
    return rows
