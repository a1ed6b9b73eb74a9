"""The device as mpremote reaches it: scripts that run on it, and files that are copied to it.

Promises: every call ends, because a device that falls silent is given up; every failure is a
FlashError. mpremote is used unmodified, as a program, and never soft-resets the device ("resume").
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.flash.errors import FlashError, SilentError

_SCRIPTS = Path(__file__).with_name("on_device")
_TOLD = "holdfast-flash told:"
_COPYING = "holdfast-flash copying:"
# What stands before each script: its arguments, and how it answers, so that nothing else on the
# serial port is taken for an answer.
_PRELUDE = """import json
def tell(value):
    print({mark!r} + json.dumps(value))
ARGUMENTS = {arguments!r}
"""
_BESIDE = "/firmware/.new"  # a file is written here and then renamed: a cut leaves old or new

# The longest silence of a device that is alive: a large file at 115,200 baud with all its erases.
SILENCE_S = 40.0
# The longest time for a first answer; mpremote itself gives a serial port 10 s.
FIRST_ANSWER_S = 13.0


@dataclass
class Script:
    """on_device/`name`.py, run with `arguments`."""

    name: str
    arguments: tuple[Any, ...] = ()


@dataclass
class Copy:
    """`data` becomes the file `path` on the device, whole or not at all."""

    path: str
    data: bytes


class Device:
    """The MicroPython device at `port`."""

    def __init__(self, port: str) -> None:
        self.port = port

    def run(
        self,
        *steps: Script | Copy,
        copying: Callable[[str], None] | None = None,
        silence_s: float | None = None,
    ) -> list[Any]:
        """Do `steps` in order, until one fails; what the scripts told, one item for each time.

        `copying` is called with the path before each file is copied. SilentError after
        `silence_s` (SILENCE_S) without a word from the device.
        """
        told = []
        with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
            command = []
            for number, step in enumerate(steps):
                command += ["+", *_command(step, Path(folder) / str(number))]
            for line in self._mpremote(command, silence_s or SILENCE_S):
                if line.startswith(_TOLD):
                    told.append(json.loads(line.removeprefix(_TOLD)))
                elif line.startswith(_COPYING) and copying:
                    copying(line.removeprefix(_COPYING))
        return told

    def _mpremote(self, command: list[str], silence_s: float) -> Iterator[str]:
        """The lines that mpremote prints, as they come; FlashError unless it exits with 0."""
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "mpremote", "connect", self.port, "resume", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for this program alone, which then ends the other one.
            start_new_session=True,
        )
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_read_lines, args=(process.stdout, lines), daemon=True)
        reader.start()
        said: list[str] = []
        try:
            while (line := lines.get(timeout=silence_s)) is not None:
                said.append(line)
                yield line
            code = process.wait(timeout=silence_s)
        except (queue.Empty, subprocess.TimeoutExpired):
            raise SilentError(f"the device at {self.port} no longer answers") from None
        finally:
            _end(process)
        if code:
            raise FlashError(_sentence(said, self.port))


def _command(step: Script | Copy, here: Path) -> list[str]:
    """mpremote's words for `step`; what it needs to read is put at `here`.

    Scripts go as files: a PIN has no business on a command line, which every user can read.
    """
    if isinstance(step, Copy):
        here.write_bytes(step.data)
        return [
            *("exec", f"print({_COPYING + step.path!r})", "+"),
            *("fs", "cp", "-f", str(here), ":" + _BESIDE, "+"),
            *("exec", f"import os; os.rename({_BESIDE!r}, {step.path!r})"),
        ]
    prelude = _PRELUDE.format(mark=_TOLD, arguments=step.arguments)
    here.write_text(prelude + (_SCRIPTS / f"{step.name}.py").read_text())
    # Nobody can wait for the end of the script that ends everything.
    follow = ["--no-follow"] if step.name == "restart" else []
    return ["run", *follow, str(here)]


def _read_lines(stream: Any, lines: "queue.Queue[str | None]") -> None:
    with stream:
        for raw in stream:
            lines.put(raw.decode(errors="replace").rstrip("\r\n"))
    lines.put(None)


def _end(process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 2
    for how in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, how)
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            continue


def not_micropython(port: str) -> str:
    """The sentence about a port where something else listens, or nobody."""
    return (
        f"nothing at {port} answers like MicroPython: is it the right port, has the board power, "
        "is MicroPython installed on it?"
    )


def _sentence(said: list[str], port: str) -> str:
    """What mpremote's last lines mean, for a person."""
    text = "\n".join(said)
    if "ENOSPC" in text or "Errno 28" in text or "No space left" in text:
        return "the device's filesystem is full: delete what is not Holdfast's, and flash again"
    if "could not enter raw repl" in text:
        return not_micropython(port)
    if "failed to access" in text:
        return f"{port} is in use by another program: close it, and flash again"
    if "disconnected" in text or "Errno 5" in text or "SerialException" in text:
        return f"{port} went away while it was in use: check cable and power, and flash again"
    last = next((line for line in reversed(said) if line.strip()), "no reason was given")
    return f"the device at {port} reported: {last.strip()}"
