"""The most heap that the firmware had in use at any moment of the test suite, for `make bench`.

The suite asks for it by the environment variable HOLDFAST_HEAP_WORST, a folder; each of its
processes writes a file there, and `worst` finds the largest of all runs with the present firmware.
Live objects are counted (after a collection), four times a second, on boards with the device's
110 KB.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib

VARIABLE = "HOLDFAST_HEAP_WORST"
_ROOT = pathlib.Path(__file__).resolve().parents[2]


def folder():
    """Where the notes about the present sources of the firmware lie."""
    digest = hashlib.sha256()
    for path in sorted((_ROOT / "firmware").rglob("*.py")):
        digest.update(path.read_bytes())
    return _ROOT / "build" / "heap-worst" / digest.hexdigest()[:16]


def wanted():
    return bool(os.environ.get(VARIABLE))


def note(used):
    """Keep `used` bytes if they are the most that this process has seen."""
    path = pathlib.Path(os.environ[VARIABLE]) / f"{os.getpid()}.json"
    test = os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0].rpartition("/")[2]
    if not path.exists() or json.loads(path.read_text())["used"] < used:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"used": used, "test": test}))


def worst():
    """{"used", "test"} of the worst moment that the suite has seen, or None."""
    notes = [json.loads(path.read_text()) for path in folder().glob("*.json")]
    return max(notes, key=lambda note: note["used"], default=None)
