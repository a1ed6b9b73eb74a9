"""From power-on to safe outputs and to a served pilot, beside a bare `import asyncio`.

Modules and bytes of flash do not depend on the machine; the time is a ratio of two times that the
same interpreter took in the same run.
"""

from __future__ import annotations

import pathlib
import subprocess
import tempfile

from tools import firmware_files
from tools.benchmarks.charger import running
from tools.benchmarks.table import Row
from tools.virtual import process

_IMPORT = """
import sys
import utime
modules = len(sys.modules)
started = utime.ticks_us()
import asyncio
print(utime.ticks_diff(utime.ticks_us(), started), len(sys.modules) - modules)
"""
STARTS = 5


def _asyncio(interpreter):
    """[us, modules] of a bare `import asyncio`, the median of some."""
    runs = []
    for _ in range(STARTS):
        done = subprocess.run(
            [process.interpreter_path(interpreter), "-c", _IMPORT],
            capture_output=True,
            text=True,
            check=True,
        )
        runs.append([int(word) for word in done.stdout.split()])
    return sorted(runs)[STARTS // 2]


def measure(interpreter):
    starts = []
    with tempfile.TemporaryDirectory() as folder, running(interpreter, folder) as board:
        for _ in range(STARTS):
            position = board.serial_position
            board.power_off()
            board.power_on()  # not the first start: boot.py knows the pins
            board.wait_serial("holdfast: running", 30, since=position)
            starts.append(board.facts["start"])
    safe, pilot = sorted(starts, key=lambda marks: marks[1][0])[STARTS // 2]
    base_us, base_modules = _asyncio(interpreter)
    flashed = sum(
        len(data)
        for name, data in firmware_files.firmware_files().items()
        if pathlib.Path(name).suffix in (".mpy", ".py")
    )
    named = "import asyncio (frozen)"
    return [
        Row("modules loaded until outputs are safe", safe[1], "", named, base_modules),
        Row("modules loaded until the pilot is served", pilot[1], "", named, base_modules),
        Row("flash read until outputs are safe", safe[2], "B", "all flashed code", flashed),
        Row("flash read until the pilot is served", pilot[2], "B", "all flashed code", flashed),
        Row("time until outputs are safe", safe[0], "us", named, base_us),
        Row("time until the pilot is served", pilot[0], "us", named, base_us),
    ]
