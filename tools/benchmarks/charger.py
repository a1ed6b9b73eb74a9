"""A charger on the virtual board for the benchmarks, and the load that it is measured under."""

from __future__ import annotations

import contextlib
import http.client
import pathlib
import socket
import threading
import time

from tools.virtual import image
from tools.virtual.process import VirtualBoard

POLLS_PER_S = 10
ERASE_MS = 40  # a sector of a usual flash chip; it stops the whole chip


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def running(interpreter, folder, erase_ms=0):
    """A charger that has booted, as a VirtualBoard; it ends with the block."""
    settings = {"board": "smartevse_v3", "charger_id": "bench"}
    flash = image.build_charger(pathlib.Path(folder) / "flash", interpreter, settings)
    with VirtualBoard(
        interpreter, flash, "smartevse_v3", ports={80: free_port()}, erase_ms=erase_ms
    ) as board:
        board.power_on()
        board.wait_serial("holdfast: running", 30)
        yield board


def ask(board, code):
    """Run code in the board with `charger` at hand; returns its `result`."""
    return board.probe(f"import firmware.app\ncharger = firmware.app.charger\n{code}", 30)


class Load:
    """What people do to a charger while a block runs: each of the functions in a thread of its own.

    A function ends when `stop` is set.
    """

    def __init__(self, *functions):
        self.stop = threading.Event()
        self._threads = [threading.Thread(target=function) for function in functions]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self._threads:
            thread.join()


class PageLoad(Load):
    """The page polled ten times a second and the settings saved."""

    def __init__(self, board):
        super().__init__(self._poll, self._save)
        self._board = board
        self.polls = 0
        self.failed = 0
        self.saves = 0

    def _poll(self):
        due = time.monotonic()
        while not self.stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._board.ports[80], timeout=5)
            try:
                connection.request("GET", "/api/status")
                connection.getresponse().read()
                self.polls += 1
            except OSError:
                self.failed += 1
            finally:
                connection.close()
            due += 1 / POLLS_PER_S
            self.stop.wait(max(0, due - time.monotonic()))

    def _save(self):
        amperes = 16
        while not self.stop.wait(1):
            amperes = 10 if amperes == 16 else 16
            ask(self._board, f"charger.settings.set_many({{'wake_after_s': {amperes}}})")
            self.saves += 1
