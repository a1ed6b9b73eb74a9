"""The charger's flash between two runs of the bench: made once, kept, and flashed anew on change.

Promises: what the charger has written stays (settings, and everything else outside firmware/ and
lib/), also when the firmware's sources changed; a flash is in use by one bench at a time; the file
is replaced as a whole or not at all. This is the quick way of `make run`; a board, virtual or real,
is flashed through its serial port by `make flash`.
"""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from firmware.settings import Settings, SettingsError
from tools import firmware_files
from tools.flash.credentials import new_password, new_pin
from tools.virtual import image, process

DEFAULT_ID = "holdfast-1"
SAMPLE_KEYS = (
    {"uid": "04A2B3C4D5E6F7", "label": "Card A", "parent": "family"},
    {"uid": "049F3C5A", "label": "Card B", "parent": "family"},
)
_KEYS = "keys"
_KEY_MAKER = Path(__file__).with_name("make_keys.py")
_EDITOR = Path(__file__).with_name("edit_flash.py")
_SETTINGS = ("settings.json", "settings.new", "settings.bak")
_VERSION = "firmware/version.json"


class FlashError(Exception):
    """A flash that cannot be made or used; the text is a sentence."""


class Flash(NamedTuple):
    """A flash file that is ready to be powered, and what is in its settings."""

    image: Path
    charger_id: str
    pin: str
    http_port: int
    lock: Any  # open as long as the bench runs


def prepare_flash(
    folder: Path,
    *,
    interpreter: str,
    board: str,
    charger_id: str = "",
    fresh: bool = False,
    boards: dict[str, str] | None = None,
    settings: dict[str, Any] | None = None,
) -> Flash:
    """The flash file in `folder`: the one of the last run with this tree's firmware, or a new one.

    A new one (`fresh`, or none there) gets a random PIN, a WiFi password of its own and a list of
    two keys, cards A and B of the bench's page. `charger_id` replaces the name in the settings if
    it is not empty, `settings` other values; `boards` is {name: source} of board files that differ
    from this tree's. Raises FlashError for a value that the settings refuse, for a filesystem that
    cannot be read, for sources that do not compile, and while another bench has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise FlashError(f"The flash in {folder} is in use by another bench: stop that.") from None
    flash = folder / "flash"
    with tempfile.TemporaryDirectory(dir=folder) as work:
        draft = Path(work) / "flash"
        try:
            if fresh or not flash.exists():
                image.build_charger(draft, interpreter, boards=boards)
            else:
                shutil.copyfile(flash, draft)
            wanted = {**(settings or {}), "board": board}
            if charger_id:
                wanted["charger_id"] = charger_id
            stored = _update(draft, Path(work), interpreter, wanted, boards)
        except SettingsError as error:
            name = "ID" if error.field == "charger_id" else error.field
            raise FlashError(f"{name} {error.reason}.") from None
        except (process.VirtualBoardError, firmware_files.CompileError) as error:
            raise FlashError(f"The flash cannot be made: {error}") from None
        draft.replace(flash)
    return Flash(flash, stored.charger_id, stored.pin, stored.http_port, lock)


def _update(draft: Path, work: Path, interpreter: str, wanted: dict[str, Any], boards: Any) -> Any:
    """Bring firmware, settings and keys on the flash file `draft` up to date; the settings."""
    there = _edit(draft, interpreter, {"read": [*_SETTINGS, _VERSION, _KEYS]})
    changes = {}
    if _VERSION not in there or not there.get("settings.json"):
        changes[_KEYS] = _sample_keys(work)

    settings_folder = work / "settings"
    settings_folder.mkdir()
    for name in _SETTINGS:
        if name in there:
            (settings_folder / name).write_bytes(there[name])
    settings = Settings(str(settings_folder))
    settings.load()
    if not settings.charger_id:
        wanted.setdefault("charger_id", DEFAULT_ID)
    if not settings.pin and "pin" not in wanted:
        wanted["pin"] = new_pin()
    if not settings.ap_password and "ap_password" not in wanted:
        wanted["ap_password"] = new_password()
    if any(settings.get(str(name)) != value for name, value in wanted.items()):
        settings.set_many(wanted)
        settings.save()
        changes["settings.json"] = (settings_folder / "settings.json").read_bytes()

    wanted_files = image.charger_files(interpreter, boards)
    files = {name.lstrip("/"): data for name, data in wanted_files.items()}
    if there.get(_VERSION) != files[_VERSION]:
        changes.update(files)
    if changes:
        staged = work / "staged"
        for name, data in changes.items():
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_bytes(data)
        _edit(draft, interpreter, {"write": str(staged), "tidy": ["firmware", "lib"]})
    return settings


def _sample_keys(work: Path) -> bytes:
    """The list of keys that a new charger has at the bench: two cards of one owner."""
    folder = work / "keys"
    folder.mkdir()
    done = subprocess.run(
        [process.interpreter_path("packaged"), str(_KEY_MAKER), str(folder)],
        input=json.dumps(SAMPLE_KEYS) + "\n",
        env={**os.environ, "MICROPYPATH": f"{process.ROOT}:.frozen"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        raise FlashError(f"The list of keys cannot be made: {done.stderr or done.stdout}")
    return bytes.fromhex(done.stdout)


def _edit(flash: Path, interpreter: str, order: dict[str, Any]) -> dict[str, bytes]:
    """Let MicroPython's own LittleFS work on the flash file; the files that it was to read."""
    order = {
        **order,
        "flash": str(flash),
        "size": process.FLASH_SIZE,
        "partitions": process.STOCK_PARTITIONS,
    }
    done = subprocess.run(
        [process.interpreter_path(interpreter), str(_EDITOR)],
        input=json.dumps(order) + "\n",
        env={**os.environ, "MICROPYPATH": f"{process.fakes(interpreter)}:.frozen"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        complaint = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise FlashError(
            f"The flash file cannot be read ({' '.join(complaint)}). FRESH=1 starts with a new one."
        )
    return {name: bytes.fromhex(data) for name, data in json.loads(done.stdout).items()}
