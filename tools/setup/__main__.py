"""`python3 -m tools.setup`: brings everything in place that make's targets need.

Exit code 0 when it is, 1 with one sentence on stderr when it cannot be, 130 after Ctrl-C.
RETRY=1 tries the optional packages again that could not be fetched.
"""

import fcntl
import os
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager

from tools.setup import interpreters, python_packages, system_packages, third_party
from tools.setup.paths import STATE
from tools.setup.progress import SetupError, Step, say


def _root_packages(step: Step, archive: interpreters.LazyArchive) -> None:
    need_compiler = not interpreters.board_complete()
    need_venv = not python_packages.present()
    packages = system_packages.missing_packages(need_compiler, need_venv)
    if packages:
        system_packages.install(step, packages)
        left = system_packages.missing_packages(need_compiler, need_venv)
        if left:
            raise SetupError(
                f"apt installed {' '.join(packages)}, but {' '.join(left)} still fails"
            )


def _python_packages(step: Step, archive: interpreters.LazyArchive) -> None:
    if not python_packages.complete():
        python_packages.install(step)


def _packaged_interpreter(step: Step, archive: interpreters.LazyArchive) -> None:
    if not interpreters.packaged_complete():
        interpreters.provide_packaged(step, archive)


def _board_interpreter(step: Step, archive: interpreters.LazyArchive) -> None:
    if not interpreters.board_complete():
        interpreters.build_board(step, archive)


def _third_party(step: Step, archive: interpreters.LazyArchive) -> None:
    third_party.remove_leftovers(step)
    for package in third_party.waiting():
        third_party.fetch(step, package)


_STEPS: tuple[tuple[str, Callable[[Step, interpreters.LazyArchive], None]], ...] = (
    ("system packages", _root_packages),
    ("Python packages", _python_packages),
    ("MicroPython", _packaged_interpreter),
    ("board interpreter", _board_interpreter),
    ("third-party files", _third_party),
)


@contextmanager
def _only_one():
    """Lets two set-ups at the same time take turns; the second then finds everything done."""
    with (STATE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("set-up: waiting for another set-up of this folder to end ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    began = time.monotonic()
    archive = interpreters.LazyArchive()
    try:
        STATE.mkdir(parents=True, exist_ok=True)
        with _only_one():
            log = STATE / "log.txt"
            if log.exists() and log.stat().st_size > 1_000_000:
                log.unlink()
            worked = False
            for number, (title, work) in enumerate(_STEPS, 1):
                step = Step(number, len(_STEPS), title, log)
                work(step, archive)
                worked = worked or step.said
            archive.close()
    except SetupError as error:
        say(f"set-up failed: {error}", always=True)
        return 1
    except OSError as error:
        say(f"set-up failed: {error.filename or ''}: {error.strerror or error}", always=True)
        return 1
    except KeyboardInterrupt:
        say("\nset-up interrupted: the next make goes on from here", always=True)
        return 130
    for sentence in third_party.optional_missing():
        say(f"set-up: {sentence}")
    if worked or os.environ.get("SAY_READY") == "1":
        say(f"set-up: everything is in place ({time.monotonic() - began:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
