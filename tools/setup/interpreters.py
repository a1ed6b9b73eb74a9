"""The two MicroPython interpreters of the tests: build/bin/micropython and micropython-board.

The first is what users install: the one on the PATH if it is new enough and complete, else
Debian's package in a private folder, started through that folder's own dynamic loader. The second
resembles the device and is built from Debian's source package: see board_interpreter/.
"""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from tools.setup.debian import OLDEST_MICROPYTHON, Archive, newest_source, version_of
from tools.setup.paths import (
    BIN,
    BOARD_INTERPRETER,
    BUILD,
    HERE,
    MICROPYTHON,
    STATE,
    clean_environment,
    digest,
    replace_file,
    stamped,
    write_stamp,
)  # fmt: skip
from tools.setup.progress import SetupError, Step
from tools.setup.system_packages import compiler_for_32_bits

_PRIVATE = BUILD / "packaged"  # the root folder of the private Debian packages
_VARIANT = HERE / "board_interpreter"
_SOURCE = STATE / "source"
# What the virtual board builds on; some distributions leave a module out.
_NEEDED = "import sys, asyncio, _thread, vfs, tls; vfs.VfsLfs2; print(sys.version)"
BOARD_TEST = (
    "import sys, vfs, asyncio, _thread; vfs.VfsLfs2; vfs.VfsPosix; "
    "print(sys.maxsize == 0x7FFFFFFF, 1.0 + 1e-8 == 1.0)"
)
_UNUSED_SOURCE = ("docs", "tests", "ports", "examples", "logo", "drivers", "lib/axtls")


def packaged_complete() -> bool:
    """Whether build/bin/micropython is there and is still the one that was chosen."""
    stamp = stamped("micropython")
    return bool(stamp) and stamp == _packaged_choice() and MICROPYTHON.exists()


def _installed() -> Path | None:
    """A `micropython` on the PATH, not counting our own."""
    path = os.pathsep.join(
        folder for folder in os.environ.get("PATH", "").split(os.pathsep)
        if folder and Path(folder).resolve() != BIN
    )  # fmt: skip
    found = shutil.which("micropython", path=path)
    return Path(found) if found else None


def _packaged_choice() -> str:
    """What the choice of the interpreter depends on: cheap to ask at every run."""
    found = _installed()
    state = found.stat() if found else None
    return digest(str(BUILD), f"{found} {state and (state.st_size, state.st_mtime_ns)}")


def is_usable(command: Path) -> str | None:
    """The version that the interpreter prints if it is new enough and complete, else None."""
    try:
        shown = subprocess.run(
            [str(command), "-c", _NEEDED], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # sys.version is "3.4.0; MicroPython v1.25.0 on 2025-05-04".
    words = shown.stdout.partition("MicroPython")[2]
    usable = shown.returncode == 0 and version_of(words) >= OLDEST_MICROPYTHON
    return words.split(" on ")[0].strip() if usable else None


class LazyArchive:
    """Opens the Debian archive at the first use and only once, whichever step needs it first."""

    def __init__(self) -> None:
        self._archive: Archive | None = None

    def get(self, step: Step) -> Archive:
        if self._archive is None:
            self._archive = Archive(step)
        return self._archive

    def close(self) -> None:
        if self._archive:
            self._archive.close()


def provide_packaged(step: Step, archive: LazyArchive) -> None:
    """Makes build/bin/micropython. Raises SetupError if there is none to be had."""
    choice = _packaged_choice()
    installed = _installed()
    if installed and (version := is_usable(installed)):
        step.say(f"{installed} ({version}) is used")
        BIN.mkdir(parents=True, exist_ok=True)
        link = BIN / f".micropython.{os.getpid()}.new"
        link.unlink(missing_ok=True)
        link.symlink_to(installed)
        link.replace(MICROPYTHON)
        write_stamp("micropython", choice)
        return
    if not (_PRIVATE / "usr" / "bin" / "micropython").exists():
        new = _PRIVATE.with_name("packaged.new")
        shutil.rmtree(new, ignore_errors=True)
        archive.get(step).fetch_binaries(step, new)
        shutil.rmtree(_PRIVATE, ignore_errors=True)
        new.rename(_PRIVATE)
    replace_file(MICROPYTHON, _starter(_PRIVATE).encode(), mode=0o755)
    version = is_usable(MICROPYTHON)
    if not version:
        shutil.rmtree(_PRIVATE)
        raise SetupError("Debian's micropython was unpacked but does not run on this machine")
    step.say(f"Debian's {version} is in place")
    write_stamp("micropython", choice)


def _loader(root: Path) -> Path:
    """The dynamic loader among the unpacked packages, whatever the processor."""
    found = [path for place in ("usr/lib*", "lib*") for path in root.glob(f"{place}/ld-*.so.*")]
    if not found:
        raise SetupError("Debian's C library was unpacked but holds no dynamic loader")
    return found[0]


def _starter(root: Path) -> str:
    libraries = {path.parent for path in root.rglob("*.so*") if "gconv" not in path.parts}
    return (
        "#!/bin/sh\n# Debian's MicroPython with its own libraries; made by the set-up.\n"
        f"exec '{_loader(root)}' --library-path '{':'.join(map(str, sorted(libraries)))}' "
        f"'{root}/usr/bin/micropython' \"$@\"\n"
    )


def _board_recipe() -> str:
    """What the board interpreter depends on."""
    return digest(*(path.read_bytes() for path in sorted(_VARIANT.iterdir()) if path.is_file()))


def board_complete() -> bool:
    """Whether build/bin/micropython-board was built from the committed variant."""
    return stamped("micropython-board") == _board_recipe() and BOARD_INTERPRETER.exists()


def build_board(step: Step, archive: LazyArchive) -> None:
    """Makes build/bin/micropython-board. Raises SetupError with what the compiler said."""
    recipe = _board_recipe()
    variables = compiler_for_32_bits()
    if variables is None:
        raise SetupError("no C compiler makes 32-bit programs that run on this machine")
    source = newest_source() or archive.get(step).fetch_source(step)
    tree = _unpack(source)
    jobs = f"-j{len(os.sched_getaffinity(0))}"
    # MicroPython asks git for its version and would be told about this project's.
    env = clean_environment(GIT_CEILING_DIRECTORIES=str(STATE), MICROPY_MPYCROSS_DEPENDENCY="")
    for name in [name for name in env if name.startswith(("PIP_", "MICROPY_"))]:
        del env[name]
    failure = "the board interpreter could not be compiled; the compiler said"
    step.say("compiling its bytecode compiler (about 10 s) ...")
    step.run(["make", jobs], failure=failure, env=env, cwd=tree / "mpy-cross")
    # All paths are relative: makefiles cannot bear spaces in the path of a clone.
    port = tree / "ports" / "unix"
    shutil.copytree(_VARIANT, port / "variants" / "board")
    step.say("compiling (about 20 s) ...")
    step.run(["make", jobs, "VARIANT=board", *variables], failure=failure, env=env, cwd=port)
    binary = port / "build-board" / "micropython"
    shown = subprocess.run([str(binary), "-c", BOARD_TEST], capture_output=True, text=True)
    if shown.stdout.split() != ["True", "True"]:
        raise SetupError(
            "the board interpreter was built but does not have 32-bit words and 32-bit floats: "
            + (shown.stdout + shown.stderr).strip()
        )
    replace_file(BOARD_INTERPRETER, binary.read_bytes(), mode=0o755)
    write_stamp("micropython-board", recipe)
    shutil.rmtree(_SOURCE, ignore_errors=True)


def _unpack(source: Path) -> Path:
    """Unpacks what the build needs of the source archive; returns its top folder."""
    shutil.rmtree(_SOURCE, ignore_errors=True)
    _SOURCE.mkdir(parents=True)
    with tarfile.open(source) as archive:
        # apt has checked the archive's signature, so its paths can be trusted.
        archive.extraction_filter = lambda member, path: member
        members = [member for member in archive if _is_used(member.name)]
        archive.extractall(_SOURCE, members)
    (tree,) = _SOURCE.iterdir()
    # Debian leaves micropython-lib out and the makefile asks for its README; nothing of it is used.
    library = tree / "lib" / "micropython-lib"
    library.mkdir(parents=True, exist_ok=True)
    (library / "README.md").touch()
    return tree


def _is_used(name: str) -> bool:
    inside = name.partition("/")[2]
    if inside.startswith("ports/unix"):
        return True
    return not any(inside == unused or inside.startswith(unused + "/") for unused in _UNUSED_SOURCE)
