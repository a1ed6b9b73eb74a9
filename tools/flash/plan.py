"""What has to be done to a device, worked out before anything is touched. Pure: no device, no port.

Promises: `make_plan` names what is to be copied and removed, and raises FlashError when it would
not fit. Files outside /firmware, and files in /lib that no flash of Holdfast put there, are never
removed, unless they would hide one of the firmware's own.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from tools.flash.errors import FlashError

MANIFEST = "/firmware/manifest.json"
VERSION = "/firmware/version.json"
OLDEST = (1, 24)
# The bytecode that the compilers of MicroPython 1.23 to 1.29 emit: version and sub-version.
BYTECODE = (6, 3)

# LittleFS keeps about this many blocks for itself while it works, and the settings need some.
_SPARE_BLOCKS = 8
_BLOCKS_PER_DIRECTORY = 2


def check_device(about: dict[str, Any]) -> tuple[int, int]:
    """The version (1, 25) of the MicroPython that `about` describes; FlashError if it won't do."""
    major, minor, patch = about["version"]
    name = f"MicroPython {major}.{minor}.{patch} on {about['platform']}"
    if (major, minor) < OLDEST:
        raise FlashError(
            f"{name} is too old, Holdfast needs 1.24 or newer: install a newer one on the board "
            "and flash again"
        )
    bytecode = (about["mpy"] & 0xFF, about["mpy"] >> 8 & 3)
    if bytecode != BYTECODE:
        what = f"bytecode {bytecode[0]}.{bytecode[1]}" if bytecode[0] else "no compiled files"
        raise FlashError(
            f"{name} takes {what}, and these tools compile for {BYTECODE[0]}.{BYTECODE[1]}: "
            "install MicroPython 1.24 to 1.29 on the board, and flash again"
        )
    if not about["nvs"]:
        raise FlashError(f"{name} has no NVS store: Holdfast runs on the ESP32")
    return major, minor


@dataclass
class Plan:
    """`copy` in order, each with its old size or None; `remove` before it; `complete`: no work."""

    copy: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    complete: bool = False


def differing(wanted: dict[str, bytes], survey: list[dict[str, Any]]) -> list[str]:
    """Those of `wanted` that the device lacks or holds with another content."""
    there = {row["path"]: (row["size"], row["sha256"]) for row in survey if "path" in row}
    return [
        path
        for path, data in wanted.items()
        if there.get(path) != (len(data), sha256(data).hexdigest())
    ]


def make_plan(
    wanted: dict[str, bytes], manifest: bytes, survey: list[dict[str, Any]], about: dict[str, Any]
) -> Plan:
    """What makes the device hold `wanted`, given the `survey` of what it holds."""
    plan = Plan()
    sizes = {row["path"]: row["size"] for row in survey if "path" in row}
    plan.copy = sorted(differing(wanted, survey), key=_order)
    plan.remove = sorted(_stale(wanted, survey))
    marks = differing({MANIFEST: manifest, VERSION: manifest}, survey)
    plan.complete = not (plan.copy or plan.remove or marks)
    wanted_directories = {parent for path in wanted for parent in _parents(path)}
    plan.directories = sorted(wanted_directories)
    _check_room(plan, wanted, sizes, about)
    return plan


def _order(path: str) -> tuple[int, str]:
    # boot.py first: from then on a half-flashed board is safe and says so. main.py last.
    return {"/boot.py": 0, "/main.py": 2}.get(path, 1), path


def _parents(path: str) -> list[str]:
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[: n + 1]) for n in range(len(parts))]


def _stale(wanted: dict[str, bytes], survey: list[dict[str, Any]]) -> set[str]:
    ours = {"/" + path.lstrip("/") for row in survey for path in row.get("listed", ())}
    stale = set()
    for row in survey:
        path = row.get("path", "")
        if path in wanted or path in (MANIFEST, VERSION):
            continue
        hides = path.endswith(".py") and path[:-3] + ".mpy" in wanted
        if path.startswith("/firmware/") or (path.startswith("/lib/") and (path in ours or hides)):
            stale.add(path)
    return stale


def _check_room(
    plan: Plan, wanted: dict[str, bytes], sizes: dict[str, int], about: dict[str, Any]
) -> None:
    """FlashError if at any moment of the copying the filesystem would be too full."""
    if not plan.copy:
        return
    block = about["block_bytes"]

    def blocks(size: int) -> int:
        return -(-size // (block - 8))  # a block of a file holds a pointer or two as well

    existing = {parent for path in sizes for parent in _parents(path)}
    used = _BLOCKS_PER_DIRECTORY * len(set(plan.directories) - existing)
    used -= sum(blocks(sizes[path]) for path in plan.remove)
    most = used
    for path in plan.copy:
        used += blocks(len(wanted[path]))
        most = max(most, used)  # the old file goes only once the new one is complete
        used -= blocks(sizes.get(path, 0))
    needed = (most + _SPARE_BLOCKS) * block
    if needed > about["free_bytes"]:
        raise FlashError(
            f"the device's filesystem has {about['free_bytes']:,} bytes free and this needs "
            f"{needed:,}: delete files that are not Holdfast's, and flash again"
        )
