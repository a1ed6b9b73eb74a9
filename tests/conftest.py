"""Fixtures that every test shares: the two interpreters, as real processes."""

import os
import pathlib
import subprocess

import pytest

from tools.virtual import heap_worst

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEVICE_SCRIPTS = ROOT / "tests" / "device"
_BINARIES = {"packaged": "micropython", "board": "micropython-board"}


def pytest_configure(config):
    """Let virtual boards note their worst heap, for `make bench`."""
    os.environ.setdefault(heap_worst.VARIABLE, str(heap_worst.folder()))


class Interpreter:
    """One MicroPython, started anew for each script.

    `name` is "packaged" (64-bit, double floats) or "board" (32-bit, single floats, GIL).
    """

    def __init__(self, name):
        self.name = name
        self.binary = str(ROOT / "build" / "bin" / _BINARIES[name])

    def run(self, script, *args, path=(), heap=None, timeout=60, env=None):
        """Run tests/device/`script`; AssertionError with its whole output when it exits non-zero.

        `path` goes before the project's root, lib and tests/device on the module search path;
        `heap` is "110K" or the like, None for the interpreter's default.
        """
        search = [*map(str, path), str(ROOT), str(ROOT / "lib"), str(DEVICE_SCRIPTS), ".frozen"]
        command = [self.binary]
        if heap:
            command += ["-X", "heapsize=" + heap]
        command += [str(DEVICE_SCRIPTS / script), *map(str, args)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **(env or {}), "MICROPYPATH": ":".join(search)},
        )
        assert done.returncode == 0, (
            f"{self.name}: {script} exited {done.returncode}\n"
            f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
        return done


@pytest.fixture(params=sorted(_BINARIES))
def interpreter(request):
    """Each test that asks for it runs under both interpreters."""
    return Interpreter(request.param)


# The modules behind these load a browser's driver and the like: only where they are asked for.


@pytest.fixture(scope="module")
def browser():
    from tests.phone import chromium

    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """`make run`, shared by the tests of a module."""
    from tests.bench_process import RunningBench

    with RunningBench(tmp_path_factory.mktemp("bench")) as running:
        yield running


@pytest.fixture
def new_phone(bench, browser):
    """A function that makes a phone at this bench's charger."""
    from tests.phone import Phone

    def make(language="en", **how):
        return Phone(browser, bench.ready["page"], language, **how)

    return make


@pytest.fixture
def broker(tmp_path):
    """A Mosquitto of the test's own."""
    from mosquitto import Mosquitto

    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder) as running:
        yield running
