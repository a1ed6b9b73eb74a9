"""The whole of a flash, in order: ask, hold, compare, copy, check, configure, release, wait.

Before the first file is touched a failure puts the board back to work. After it the board stays in
maintenance: boot.py keeps its outputs safe and says what is missing, until it is flashed again.
"""

import contextlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware import settings
from firmware.version import VERSION as FIRMWARE_VERSION
from tools import firmware_files
from tools.flash import port as serial_port
from tools.flash import sticker as stickers
from tools.flash.credentials import new_password, new_pin
from tools.flash.device import FIRST_ANSWER_S, Copy, Device, Script, not_micropython
from tools.flash.errors import FlashError, SilentError
from tools.flash.plan import (
    MANIFEST,
    VERSION,
    Plan,
    check_device,
    differing,
    make_plan,
)

_BOARDS = Path(__file__).resolve().parents[2] / "firmware" / "board"
_SURVEY = Script("survey", (["/firmware", "/lib"], ["/" + name for name in firmware_files.SOURCES]))
_SAFE_NOW = "the board's outputs are safe and it starts nothing: flash again to mend it"


@dataclass
class Options:
    """What the caller asks for; `charger_id` and `board` are None to stay as they are."""

    port: str
    charger_id: str | None = None
    board: str | None = None
    force: bool = False
    new_pin: bool = False
    new_password: bool = False
    stickers: Path = stickers.FOLDER  # where the pictures go


def boards() -> list[str]:
    """Names of the boards that the firmware knows."""
    return sorted(
        path.stem
        for path in _BOARDS.glob("*.py")
        if re.search(r"^BOARD\b", path.read_text(), re.MULTILINE)
    )


def asked_settings(options: Options) -> dict[str, str]:
    """The settings that `options` ask for; FlashError, in the settings' words, if one is bad."""
    asked = {"charger_id": options.charger_id, "board": options.board}
    changes = {name: value for name, value in asked.items() if value is not None}
    try:
        settings.Settings("/nowhere").set_many(changes)
    except settings.SettingsError as error:
        what = {"charger_id": "ID", "board": "BOARD"}[error.field]
        raise FlashError(f"{what} {error.reason}; nothing was changed") from None
    if options.board and options.board not in boards():
        raise FlashError(
            f'there is no board "{options.board}"; the boards that exist: {", ".join(boards())}'
        )
    return changes


def flash(options: Options, say: Callable[[str], None]) -> None:
    """Flash the device at `options.port`, telling the progress with `say`; FlashError if not."""
    changes = asked_settings(options)
    _refuse_while_charging(options)
    device = Device(options.port)

    try:
        about = _only(device.run(Script("describe"), silence_s=FIRST_ANSWER_S))
    except SilentError:
        raise FlashError(not_micropython(options.port)) from None
    try:
        micropython = check_device(about)
        say(
            f"MicroPython {'.'.join(map(str, about['version']))} on {about['platform']}, "
            f"{about['free_bytes']:,} bytes free"
        )
        device.run(Script("maintain", (1,)), Script("restart"))
        serial_port.wait_for_prompt(options.port)
        say("in maintenance: outputs safe, no application")

        relative = firmware_files.firmware_files(micropython)
        manifest = firmware_files.manifest(relative, FIRMWARE_VERSION)
        files = {"/" + name: data for name, data in relative.items()}
        plan = make_plan(files, manifest, device.run(_SURVEY), about)
    except (FlashError, firmware_files.CompileError, KeyboardInterrupt) as error:
        _put_back_to_work(device)
        what = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        raise FlashError(f"{what}; nothing was changed on the board") from None

    try:
        if plan.complete:
            say("nothing to copy: every file is there already")
        else:
            _copy(device, plan, files, manifest, say)
        # The version file is the last: with it the board counts as flashed.
        last = [] if plan.complete else [Copy(VERSION, manifest)]
        _configure(device, changes, options, last, say)
        device.run(Script("maintain", (0,)), Script("restart"))
    except FlashError as error:
        raise FlashError(f"{error} ({_SAFE_NOW})") from None
    except KeyboardInterrupt:
        raise FlashError(f"interrupted: {_SAFE_NOW}") from None
    _report(options, say)


def _refuse_while_charging(options: Options) -> None:
    status, at_prompt = serial_port.running_status(options.port)
    told = status or {}
    charging = told.get("contactor") or told.get("state") == "Charging"
    if charging and not options.force:
        raise FlashError(
            f"the charger {told.get('id', '')} is charging a car: flash it when it is done, "
            "or stop it in the middle with FORCE=1"
        )
    if at_prompt:
        serial_port.leave_aiorepl(options.port)


def _put_back_to_work(device: Device) -> None:
    """End the maintenance of a device that was not touched. A second failure would help nobody."""
    with contextlib.suppress(FlashError):
        device.run(Script("maintain", (0,)), Script("restart"))


def _only(told: list[Any]) -> Any:
    if len(told) != 1:
        raise FlashError("the device gave no answer that makes sense: reset it, and flash again")
    return told[0]


def _copy(
    device: Device,
    plan: Plan,
    files: dict[str, bytes],
    manifest: bytes,
    say: Callable[[str], None],
) -> None:
    """Remove and copy what `plan` says, and make sure that the device now holds all of `files`."""
    for path in plan.remove:
        say(f"removing {path}")
    total = sum(len(files[path]) for path in plan.copy)
    done = 0
    count = 0

    def copying(path: str) -> None:
        nonlocal done, count
        if path == MANIFEST:
            return
        count += 1
        size = len(files[path])
        done += size
        say(f"{count}/{len(plan.copy)} {path} {size:,} bytes ({done:,} of {total:,})")

    survey = device.run(
        # Without its version file the board counts as half-flashed, whatever happens from here on.
        Script("prepare", ([VERSION, *plan.remove], plan.directories)),
        Copy(MANIFEST, manifest),
        *(Copy(path, files[path]) for path in plan.copy),
        _SURVEY,
        copying=copying,
    )
    if wrong := differing(files | {MANIFEST: manifest}, survey):
        raise FlashError(f"the device does not hold what was copied to it: {', '.join(wrong)}")
    say(f"{len(plan.copy)} of {len(files)} files copied, all verified")


def _configure(
    device: Device,
    changes: dict[str, str],
    options: Options,
    then: list[Copy],
    say: Callable[[str], None],
) -> None:
    # Each charger has secrets of its own from its first flash on; none has one that others know.
    own = {"pin": new_pin(), "ap_password": new_password()}
    replace = {"pin": options.new_pin, "ap_password": options.new_password}
    configure = Script("configure", (changes, own, replace))
    done = _only(device.run(configure, *then))
    if done["notice"]:
        say(f"the charger's settings: {done['notice']}")
    for name in done["changed"]:
        if name == "pin":
            say(f"PIN of this charger, for its sticker (it is not shown again): {own['pin']}")
        elif name not in own:
            say(f"setting {name}: {changes[name]}")
    if "ap_password" in done["changed"]:
        pin = own["pin"] if "pin" in done["changed"] else ""
        _show_sticker(stickers.Sticker(done["id"], own["ap_password"], pin), options, say)


def _show_sticker(sticker: stickers.Sticker, options: Options, say: Callable[[str], None]) -> None:
    say(f"WiFi of this charger: {sticker.network}, password {sticker.password}")
    code = stickers.terminal(sticker, colour=sys.stdout.isatty())
    say(f"scan this with a phone to join it (it is not shown again):\n{code}")
    try:
        say(f"its sticker, to print: {stickers.save(sticker, options.stickers)}")
    except OSError as error:
        say(f"its sticker could not be written: {error}")


def _report(options: Options, say: Callable[[str], None]) -> None:
    try:
        word = serial_port.wait_until_running(options.port)
    except KeyboardInterrupt:
        raise FlashError("interrupted: the board is flashed and starts by itself") from None
    if word.startswith("running"):
        say(word)
        return
    hint = ""
    if word.startswith("not charging"):
        hint = f"; choose another board with BOARD=... ({', '.join(boards())})"
    raise FlashError(f"the firmware is on the board, but it reports: {word}{hint}")
