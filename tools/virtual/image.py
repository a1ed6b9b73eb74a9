"""Flash files with a LittleFS2 that already holds what flashing would have put there.

For tests and for the first `make run`: seconds of mpremote become milliseconds, and the same
content is built only once (build/images, by content). The result is a flash file as
tools/virtual/process.py uses it, bit for bit what the virtual board itself would have written.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from tools import firmware_files
from tools.virtual import process

CACHE = process.ROOT / "build" / "images"
KEPT_IMAGES = 40  # of 4 MB each


def build_image(path, interpreter, files, settings=None, partitions=process.STOCK_PARTITIONS):
    """Write a new flash file to `path`: `files` is {path on the device: bytes}.

    `settings` are values of the settings table, stored as the charger itself would.
    """
    files = {name.lstrip("/"): data for name, data in files.items()}
    if settings is not None:
        from firmware.settings_file import encode

        files["settings.json"] = encode(settings)
    folder = process.fakes(interpreter)
    digest = hashlib.sha256(json.dumps([folder.name, interpreter, partitions]).encode())
    for name in sorted(files):
        digest.update(b"%s\0%d\0" % (name.encode(), len(files[name])) + files[name])
    kept = CACHE / f"{digest.hexdigest()[:24]}.flash"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            staged = pathlib.Path(work) / "files"
            staged.mkdir()
            for name, data in files.items():
                (staged / name).parent.mkdir(parents=True, exist_ok=True)
                (staged / name).write_bytes(data)
            flash = pathlib.Path(work) / "flash"
            flash.write_bytes(b"\xff" * process.FLASH_SIZE)
            done = subprocess.run(
                [
                    process.interpreter_path(interpreter),
                    "-c",
                    "import write_image; write_image.write"
                    + repr((str(flash), process.FLASH_SIZE, json.dumps(partitions), str(staged))),
                ],
                env={**os.environ, "MICROPYPATH": f"{folder}:.frozen"},
                capture_output=True,
                text=True,
                timeout=60,
            )
            if done.returncode:
                raise process.VirtualBoardError(
                    "the flash image could not be written: "
                    + done.stdout[-500:]
                    + done.stderr[-500:]
                )
            flash.replace(kept)
            _forget_old()
    os.utime(kept)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(kept, path)
    return path


def _forget_old():
    """Keep the images that were used last: each change of a source makes others."""
    kept = sorted(CACHE.glob("*.flash"), key=lambda path: path.stat().st_mtime)
    for path in kept[:-KEPT_IMAGES]:
        path.unlink(missing_ok=True)


def charger_files(interpreter, boards=None):
    """{path on the device: bytes} of this tree's whole firmware, marked as completely flashed.

    `boards` is {name: source} of board files that are other than in the tree.
    """
    version, _ = process.interpreter_version(interpreter)
    files = firmware_files.firmware_files(version)
    for name, source in (boards or {}).items():
        path = f"firmware/board/{name}"
        files[path + ".mpy"] = firmware_files.compile_file(source.encode(), path + ".py", version)
    names: dict = {}
    exec((process.ROOT / "firmware" / "version.py").read_text(), names)
    record = firmware_files.manifest(files, names["VERSION"])
    files["firmware/manifest.json"] = record
    files["firmware/version.json"] = record
    return files


def build_charger(path, interpreter, settings=None, extra=None, boards=None):
    """A flash file with this tree's whole firmware.

    `extra` is {path on the device: bytes} of further files; `boards` as in `charger_files`.
    """
    files = {**charger_files(interpreter, boards), **(extra or {})}
    return build_image(path, interpreter, files, settings)
