"""1,000 keys on LittleFS as a stock board has it, beside the same keys as a JSON list."""

from __future__ import annotations

import os
import pathlib
import subprocess
import tempfile

from tools.benchmarks.table import Row
from tools.virtual import process

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _cost(what, heap):
    """{name: number} that the device script prints."""
    tests = ROOT / "tests" / "device"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                process.interpreter_path("board"),
                "-X",
                "heapsize=" + heap,
                str(tests / "access_key_cost.py"),
                folder + "/flash",
                what,
            ],
            env={**os.environ, "MICROPYPATH": f"{ROOT}:{tests}:.frozen"},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: int(value) for name, value in map(str.split, done.stdout.splitlines())}


def measure():
    rows, json = _cost("rows", "110K"), _cost("json", "2M")
    named = "JSON list loaded whole"
    return [
        Row("read from flash by a lookup, key known", rows["hit_bytes"], "B", named, json["bytes"]),
        Row("read from flash by a lookup, unknown", rows["miss_bytes"], "B", named, json["bytes"]),
        Row("read by the worst lookup", rows["miss_most_bytes"], "B", named, json["bytes"]),
        Row("RAM for the list", rows["ram_list"], "B", named, json["ram"]),
        Row("RAM while the list is replaced", rows["ram_replacing"], "B", named, json["ram"]),
        Row("allocated by a lookup", rows["miss_allocated"], "B", named, json["ram"]),
        Row("size on flash", rows["file_bytes"], "B", "JSON list", json["file_bytes"]),
    ]
