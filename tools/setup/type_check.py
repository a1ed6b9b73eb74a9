"""`python -m tools.setup.type_check [FILE ...]`: mypy over the firmware and over the host's code.

The firmware is checked against the ESP32's modules, so that a call which MicroPython does not have
is reported (`time.ticks_foo()`, `Pin(1, foo=2)`), annotated or not. mypy believes that it knows the
standard library itself; the published stubs are therefore arranged as a standard library of their
own in build/typeshed. With FILEs, only these are checked, as firmware.
"""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from tools.setup.paths import BUILD, ROOT, digest, stamped, write_stamp

_TYPESHED = BUILD / "typeshed"
_STUBS = ("micropython-stdlib-stubs", "micropython-esp32-stubs")  # the second overrides the first
# The stubs make the tick counts opaque, so that they are only compared through ticks_diff. The
# firmware masks them to a period of its own where they enter (firmware/ticks.py).
_TICKS = "_TicksMs = int\n_TicksUs = int\n_TicksCPU = int\n_Ticks = int\n"
_FIRMWARE = ("boot.py", "main.py", "firmware")
_HOST = ("tools", "tests")


def arrange_stubs() -> Path:
    """Makes build/typeshed from the two stub packages in .venv, once for each version."""
    versions = digest(Path(__file__).read_bytes(), *(metadata.version(name) for name in _STUBS))
    if stamped("typeshed") == versions and _TYPESHED.is_dir():
        return _TYPESHED
    shutil.rmtree(_TYPESHED, ignore_errors=True)
    library = _TYPESHED / "stdlib"
    modules = set()
    for package in _STUBS:
        for file in metadata.files(package) or ():
            if file.suffix != ".pyi" or file.parts[0] == "stubs":
                continue
            inside = Path(*file.parts[1:]) if file.parts[0] == "stdlib" else Path(*file.parts)
            modules.add(inside.parts[0].removesuffix(".pyi"))
            (library / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), library / inside)
    # mypy wants a few that MicroPython lacks to exist, in a folder of their own.
    for file in metadata.files(_STUBS[0]) or ():
        if file.parts[0] == "stubs":
            (_TYPESHED / Path(*file.parts)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), _TYPESHED / Path(*file.parts))
    (library / "_mpy_shed" / "time_mp.pyi").write_text(_TICKS)
    # Only what is in the two packages exists: what CPython has besides is to be reported.
    lines = [f"{module}: 3.0-" for module in sorted(modules)]
    (library / "VERSIONS").write_text("\n".join(lines) + "\n")
    write_stamp("typeshed", versions)
    return _TYPESHED


def _mypy(*arguments: str) -> int:
    command = [sys.executable, "-m", "mypy", *arguments]
    return subprocess.run(command, cwd=ROOT).returncode


def check_firmware(files: list[str]) -> int:
    """mypy's exit code for these files under the device's modules."""
    return _mypy(
        "--custom-typeshed-dir", str(arrange_stubs()), "--cache-dir", str(BUILD / "mypy-device"),
        "--config-file", str(ROOT / "tools" / "setup" / "firmware_types.ini"), *files,
    )  # fmt: skip


def main() -> int:
    if len(sys.argv) > 1:
        return check_firmware(sys.argv[1:])
    files = [name for name in _FIRMWARE if (ROOT / name).exists()]
    print("types of the firmware, with the ESP32's modules:", flush=True)
    firmware = check_firmware(files)
    print("types of the host's code:", flush=True)
    host = _mypy("--cache-dir", str(BUILD / "mypy-host"), *_HOST)
    return firmware or host


if __name__ == "__main__":
    sys.exit(main())
