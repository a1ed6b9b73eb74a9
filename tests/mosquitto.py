"""A real Mosquitto for one test: own port, own configuration, killed and started at will."""

import contextlib
import getpass
import pathlib
import shutil
import socket
import subprocess
import time

_ANSWERS_WITHIN_S = 5
# The shell waits for the end of its standard input, which the test holds, and which the kernel
# closes when the test is killed: the broker does not outlive it.
_WATCH = '"$@" & broker=$!; read -r _; kill -KILL "$broker"; wait "$broker"'


def free_port():
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Mosquitto:
    """Running when made; a context manager that ends it.

    `lines` go into the configuration of its listener, or, as a list of lists, of one listener each;
    `port` is the first one's port, `ports` are all. Nothing is kept over a restart.
    """

    def __init__(self, folder, *lines):
        listeners = lines if lines and isinstance(lines[0], list) else [list(lines)]
        self.ports = [free_port() for _ in listeners]
        self.port = self.ports[0]
        self._config = pathlib.Path(folder) / "mosquitto.conf"
        self._log = pathlib.Path(folder) / "mosquitto.log"
        # As root it would give its rights away, and with them those to the test's own files.
        text = [f"user {getpass.getuser()}", "per_listener_settings true", "persistence false"]
        text += ["log_dest stderr", "log_type all"]
        for port, own in zip(self.ports, listeners, strict=True):
            text += [f"listener {port} 127.0.0.1", *own]
            if not any(line.startswith("allow_anonymous") for line in own):
                text.append("allow_anonymous true")
        self._config.write_text("\n".join(text) + "\n")
        self._log.write_text("")
        self._process = None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        """Start it, on the same ports as before; returns when it answers."""
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _WATCH, "sh", program, "-c", self._config],
                stdin=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _ANSWERS_WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.01)
        self.kill()
        raise AssertionError("Mosquitto did not start:\n" + self.log())

    def kill(self):
        """End it with SIGKILL: no goodbye to anybody."""
        self._process.stdin.close()
        self._process.wait()

    def log(self):
        """What it has said so far, over all its lives."""
        return self._log.read_text(errors="replace")
