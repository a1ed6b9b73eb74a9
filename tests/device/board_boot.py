"""boot.py as flashed: what it drives, in which order, and when it lets the application start."""

import binascii
import hashlib
import io
import json
import os
import sys

import board_fixture
import esp32
import world

from firmware.board import nvs

_BOOT = __file__[: __file__.rindex("tests/")] + "boot.py"

log = []
printed = []


class _Folder:
    """Stands in for the flash partition under the NVS."""

    def open(self, name, mode):
        return open(sys.argv[2] + "/" + name, mode)

    def rename(self, old, new):
        os.rename(sys.argv[2] + "/" + old, sys.argv[2] + "/" + new)


esp32._nvs_fs = _Folder()


def _boot(files):
    """Run boot.py over `files` {path: bytes}; its START. Pins, files and lines end up in `log`."""
    log.clear()
    printed.clear()
    configure = world.configure

    def configured(n, mode, level, pull):
        log.append((n, level))
        configure(n, mode, level, pull)

    def opened(path, mode="r"):
        log.append(path)
        if path not in files:
            raise OSError(2)
        return io.BytesIO(files[path])

    world.configure = configured
    with open(_BOOT) as f:
        source = f.read()
    names = {"open": opened, "print": printed.append, "__name__": "__main__"}
    try:
        exec(source, names)
    finally:
        world.configure = configure
    return names["START"]


def _flashed(**files):
    manifest = {"version": "1.2.3", "files": {}}
    for path, content in files.items():
        digest = binascii.hexlify(hashlib.sha256(content).digest()).decode()[:16]
        manifest["files"]["/firmware/" + path + ".mpy"] = [len(content), digest]
    on_flash = {"/firmware/" + path + ".mpy": content for path, content in files.items()}
    on_flash["/firmware/manifest.json"] = json.dumps(manifest).encode()
    on_flash["/firmware/version.json"] = on_flash["/firmware/manifest.json"]
    return on_flash


def test_safe_pins_before_anything_else():
    for name in ("smartevse_v3", "esp32_devkit", "made_up"):
        what = board_fixture.description(name)
        board, _, outputs = board_fixture.build(name)
        nvs.set_safe_pins(board.safe_pins)
        outputs.contactor = True
        outputs.lock_drive = 1
        board.apply(outputs)
        world.advance_by(50)
        assert world.coil
        # a soft reset: PWM and timers stop, levels stay
        world.timers[0] = world.timers[1] = None
        assert _boot(_flashed(app=b"code")) is True
        pairs = board.safe_pins
        wanted = [(pairs[i], pairs[i + 1]) for i in range(0, len(pairs), 2)]
        assert log[: len(wanted)] == wanted, log
        coils = what["contactor"]["pins"]
        assert [pin for pin, _ in wanted[: len(coils)]] == list(coils)
        assert all(isinstance(entry, str) for entry in log[len(wanted) :])
        assert not printed
        world.advance_by(50)
        assert not world.contactor_closed and world.lock_drive == 0
        assert world.duty_permille == 1000


def test_new_board_touches_no_pin():
    assert _boot({}) is False
    assert all(isinstance(entry, str) for entry in log)
    assert printed == [
        "holdfast: no version file: flash the firmware with make flash; outputs safe"
    ], printed


def test_damaged_nvs_does_not_stop_it():
    store = esp32.NVS("holdfast")
    store.set_blob("safe", bytes((26, 0, 200, 1)))
    assert _boot(_flashed(app=b"code")) is True
    assert log[0] == (26, 0)


def test_maintenance():
    pairs = bytes((26, 0, 27, 1))
    nvs.set_safe_pins(pairs)
    assert not nvs.is_maintenance()
    nvs.set_maintenance(True)
    assert nvs.is_maintenance()
    assert _boot(_flashed(app=b"code")) is False
    assert log[:2] == [(26, 0), (27, 1)]
    assert printed == ["holdfast: maintenance; outputs safe"]
    nvs.set_maintenance(False)
    assert not nvs.is_maintenance()
    assert _boot(_flashed(app=b"code")) is True


def test_half_flashed_names_what_is_missing():
    whole = _flashed(app=b"one", clock=b"two", console=b"three")

    def says(text, **changes):
        files = dict(whole)
        for path, content in changes.items():
            key = "/firmware/" + path + (".json" if path == "version" else ".mpy")
            if content is None:
                del files[key]
            else:
                files[key] = content
        assert _boot(files) is False
        assert printed == ["holdfast: half-flashed, missing: " + text + "; outputs safe"], printed

    says("/firmware/version.json", version=None)
    says("/firmware/app.mpy", version=None, app=None)
    says("/firmware/app.mpy, /firmware/console.mpy", version=None, app=b"on", console=b"THREE")
    says("/firmware/clock.mpy", version=b'{"version": "1.2.2", "files": {}}', clock=None)
    files = dict(whole)
    files["/firmware/manifest.json"] = b'{"version": "1.2.3", "fil'
    assert _boot(files) is False
    assert "manifest.json" in printed[0]
    assert _boot(whole) is True and not printed


def test_reads_two_files_when_all_is_well():
    nvs.set_safe_pins(bytes((26, 0)))
    assert _boot(_flashed(app=b"one", clock=b"two")) is True
    assert log == [(26, 0), "/firmware/version.json", "/firmware/manifest.json"]


def test_nvs_is_written_only_when_it_changes():
    written = []
    store = esp32.NVS._write
    esp32.NVS._write = lambda self, kind, key, data: (
        written.append(key) or store(self, kind, key, data)
    )
    for pairs in (
        b"\x1a\x00",
        b"\x1a\x00",
        b"\x1a\x01",
        b"\x1a\x01\x1b\x00",
        b"\x1b\x00",
        b"\x1b\x00",
    ):
        nvs.set_safe_pins(pairs)
    assert written == ["safe"] * 4, written
    for on in (False, True, True, False, False):
        nvs.set_maintenance(on)
    assert written == ["safe"] * 4 + ["maint"] * 2, written


board_fixture.run(globals())
