"""Mosquitto on loopback for the bench: started with our own configuration, stopped with the bench.

It promises that the broker does not outlive the bench, however the bench ends. It does not
install Mosquitto: the set-up does.
"""

import contextlib
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tools.bench.ports import LOOPBACK

_ANSWERS_WITHIN_S = 5.0
# The shell waits for the end of its standard input, which is the bench's end of a pipe. The kernel
# closes that when the bench dies, SIGKILL included, and the shell then stops the broker.
_WATCH = '"$@" & broker=$!; read -r _; kill "$broker" 2>/dev/null; wait "$broker"'


class Broker:
    """A running Mosquitto. Raises BrokerError when it cannot be started."""

    def __init__(self, port: int, folder: Path):
        program = _program()
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {port} {LOOPBACK}\nallow_anonymous true\npersistence false\n"
            "log_dest stderr\nconnection_messages true\n"
        )
        log = folder / "mosquitto.log"
        with log.open("wb") as sink:
            self._watcher = subprocess.Popen(
                ["sh", "-c", _WATCH, "sh", program, "-c", str(config)],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=sink,
                # Ctrl-C goes to the bench alone, which then stops the rest in order.
                start_new_session=True,
            )
        if not _answers(port):
            self.close()
            tail = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise BrokerError(f"Mosquitto did not start: {' '.join(tail) or 'it says nothing'}")

    def close(self) -> None:
        """Stop the broker and wait until it is gone."""
        assert self._watcher.stdin is not None
        with contextlib.suppress(OSError):
            self._watcher.stdin.close()
        self._watcher.wait()


class BrokerError(Exception):
    """The broker is missing or does not start; the text is a sentence."""


def _program() -> str:
    # Debian puts it into /usr/sbin, which is not on everybody's PATH.
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if not program:
        raise BrokerError("Mosquitto is not installed (Debian: apt-get install mosquitto)")
    return program


def _answers(port: int) -> bool:
    deadline = time.monotonic() + _ANSWERS_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
            return True
        time.sleep(0.02)
    return False
