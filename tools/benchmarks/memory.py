"""Heap of the running firmware on the board interpreter, and what a tick allocates."""

from __future__ import annotations

import os
import pathlib
import subprocess
import tempfile
import time

import microdot

from tools.benchmarks.charger import PageLoad, ask, running
from tools.benchmarks.table import Row
from tools.firmware_files import compile_file
from tools.virtual import heap_worst, process

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEAP = 110 * 1024

LIVE = "import gc\ngc.collect()\nresult = gc.mem_alloc()"
_BASELINE = """
import gc
gc.collect()
before = gc.mem_alloc()
import asyncio
import microdot
gc.collect()
print(gc.mem_alloc() - before)
"""


def _baseline(folder):
    """Bytes that asyncio and Microdot take of a bare interpreter's heap.

    Microdot is the usual web server under MicroPython; here it serves the bench alone.
    """
    version, _ = process.interpreter_version("board")
    for name in ("__init__", "microdot"):
        source = pathlib.Path(microdot.__file__).with_name(name + ".py").read_bytes()
        path = pathlib.Path(folder) / "microdot" / (name + ".mpy")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(compile_file(source, f"microdot/{name}.py", version))
    done = subprocess.run(
        [process.interpreter_path("board"), "-X", "heapsize=110K", "-c", _BASELINE],
        env={**os.environ, "MICROPYPATH": f"{folder}:.frozen"},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def measure():
    with tempfile.TemporaryDirectory() as folder:
        bare = _baseline(folder)
    live = []
    with tempfile.TemporaryDirectory() as folder, running("board", folder) as board:
        own = process.own_heap("board", board.board)
        booted = board.probe(LIVE) - own
        board.set_world(plugged=True, cable_a=32, car_state="C")
        with PageLoad(board):
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                live.append(board.probe(LIVE) - own)
        assert ask(board, "result = charger.controller.state") == "Charging"
    named = "asyncio + Microdot, bare"
    rows = [
        Row("heap in use after boot", booted, "B", named, bare),
        Row(f"heap in use under load, worst of {len(live)}", max(live), "B", named, bare),
        Row("heap in use under load", max(live), "B", "heap budget", HEAP),
    ]
    worst = heap_worst.worst()
    if worst:
        rows.append(
            Row(f"worst in the suite ({worst['test']})", worst["used"], "B", "heap budget", HEAP)
        )
    return rows


def measure_tick():
    """Bytes that 1,000 ticks allocate, summed over 13 states."""
    tests = ROOT / "tests" / "device"
    done = subprocess.run(
        [
            process.interpreter_path("board"),
            "-X",
            "heapsize=1M",
            str(tests / "charging_allocation.py"),
            "smartevse_v3",
        ],
        env={
            **os.environ,
            "MICROPYPATH": f"{ROOT / 'tools' / 'virtual' / 'board'}:{ROOT}:{tests}:.frozen",
        },
        capture_output=True,
        text=True,
    )
    counts = [int(line.split()[-1]) for line in done.stdout.splitlines()]
    assert counts, done.stderr
    return [
        Row(
            f"allocated by 1,000 ticks, sum of {len(counts)} states",
            sum(counts),
            "B",
            "one float a tick",
            16000 * len(counts),
        )
    ]
