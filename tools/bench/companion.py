"""A program that runs beside the bench and ends with it, however the bench ends."""

import contextlib
import subprocess
from pathlib import Path

# The shell waits for the end of its standard input, which is the bench's end of a pipe. The kernel
# closes that when the bench dies, SIGKILL included, and the shell then stops the program.
_WATCH = '"$@" & program=$!; read -r _; kill "$program" 2>/dev/null; wait "$program"'


class Companion:
    """The program `command`, started; what it says goes into the file `log`."""

    def __init__(self, command: list[str], log: Path, folder: Path | None = None):
        self.log = log
        with log.open("wb") as sink:
            self._watcher = subprocess.Popen(
                ["sh", "-c", _WATCH, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=sink,
                cwd=folder,
                # Ctrl-C goes to the bench alone, which then stops the rest in order.
                start_new_session=True,
            )

    def last_words(self) -> str:
        """The last line of what it said; "" if it said nothing."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        """Stop it with SIGTERM and wait until it is gone."""
        assert self._watcher.stdin is not None
        with contextlib.suppress(OSError):
            self._watcher.stdin.close()
        self._watcher.wait()
