"""Mosquitto on loopback for the bench: started with our own configuration, stopped with the bench.

It promises that the broker does not outlive the bench, however the bench ends. It does not
install Mosquitto: the set-up does.
"""

import contextlib
import shutil
import socket
import time
from pathlib import Path

from tools.bench.companion import Companion
from tools.bench.ports import LOOPBACK

_ANSWERS_WITHIN_S = 5.0


class Broker:
    """A running Mosquitto. Raises BrokerError when it cannot be started.

    `more` are further lines of its configuration, such as another listener's.
    """

    def __init__(self, port: int, folder: Path, more: tuple[str, ...] = ()):
        program = _program()
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {port} {LOOPBACK}\nallow_anonymous true\npersistence false\n"
            "log_dest stderr\nconnection_messages true\n" + "".join(line + "\n" for line in more)
        )
        self._program = Companion([program, "-c", str(config)], folder / "mosquitto.log")
        if not _answers(port):
            self.close()
            why = self._program.last_words() or "it says nothing"
            raise BrokerError(f"Mosquitto did not start: {why}")

    def close(self) -> None:
        """Stop the broker and wait until it is gone."""
        self._program.close()


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
