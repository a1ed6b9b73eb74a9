"""What the set-up shows on the terminal, and how it runs other programs.

Everything goes to stderr, so that a caller's stdout stays clean. `HEADLESS=1` silences all but
failures. Whatever the other programs write is kept in `build/setup/log.txt`.
"""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

_HEARTBEAT_S = 10
_TERMINAL_WIDTH = 78


class SetupError(Exception):
    """The set-up cannot go on; the text is a sentence for the person at the terminal."""


def say(text: str, *, always: bool = False) -> None:
    """Writes one line, also under HEADLESS=1 if `always`."""
    if always or os.environ.get("HEADLESS") != "1":
        print(text, file=sys.stderr, flush=True)


class Step:
    """One numbered step: its lines start with "[2/5] title:", its programs write to `log`."""

    def __init__(self, number: int, total: int, title: str, log: Path) -> None:
        self.prefix = f"[{number}/{total}] {title}: "
        self.log = log
        self.said = False

    def say(self, text: str) -> None:
        self.said = True
        say(self.prefix + text)

    def failure(self, sentence: str, output: str) -> SetupError:
        """`sentence`, with what the program said last and where the rest is."""
        return SetupError(f"{sentence}:\n{last_words(output)}\n  (all of it: {self.log})")

    def run(
        self,
        command: list[str],
        *,
        failure: str,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        timeout_s: float = 900,
        may_fail: bool = False,
    ) -> tuple[int, str]:
        """Runs `command`, showing that it lives; returns (exit code, output).

        A non-zero exit raises SetupError(`failure` + what the program said last), unless
        `may_fail`. So does a program that cannot be started or takes longer than `timeout_s`.
        """
        with self.log.open("ab") as log:
            log.write(f"\n$ {' '.join(command)}\n".encode())
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=env,
                    cwd=cwd,
                )
            except OSError as error:
                raise SetupError(f"{failure}: {command[0]}: {error.strerror}") from error
            with process:
                output = _watch(process, log, time.monotonic() + timeout_s)
        text = output.decode(errors="replace")
        if process.returncode and not may_fail:
            raise self.failure(failure, text)
        return process.returncode, text


def last_words(output: str) -> str:
    """The lines of a program's output that say why it failed, indented; at most six."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("E:", "ERROR", "Error", "error"))]
    telling = telling or [line for line in lines if "error" in line.lower()] or lines
    return "\n".join("  " + line[:300] for line in telling[-6:])


def _watch(process: subprocess.Popen, log, deadline: float) -> bytes:
    """Collects the output until the end, keeping the person at the terminal informed."""
    assert process.stdout is not None
    shown = sys.stderr.isatty() and os.environ.get("HEADLESS") != "1"
    began = beat = time.monotonic()
    output = bytearray()
    while True:
        ready, _, _ = select.select([process.stdout], [], [], 1.0)
        if ready:
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                break
            output += chunk
            log.write(chunk)
            log.flush()
        now = time.monotonic()
        if now > deadline:
            process.kill()
            output += b"\nerror: it took too long and was stopped\n"
            break
        if shown:
            line = bytes(output[-400:]).decode(errors="replace").rstrip().splitlines()[-1:] or [""]
            text = f"    {now - began:3.0f} s  {line[0].strip()}"[:_TERMINAL_WIDTH]
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif now - beat >= _HEARTBEAT_S:
            beat = now
            say(f"    ... {now - began:.0f} s")
    if shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return bytes(output)
