"""tests/device/uplink_worker.py as a process that a test steers, line by line."""

import contextlib
import json
import os
import select
import subprocess
import time

from conftest import DEVICE_SCRIPTS, ROOT

WITHIN_S = 15
# The script's loop ticks every 16 ms at the latest, and the machine runs other tests meanwhile;
# what blocks does so for one of the deadlines below at least.
LONGEST_GAP_MS = 240
SHORT = (
    "worker.connect_ms, worker.operation_ms, worker.pong_ms, worker.room_ms = 800, 600, 250, 250;"
    "worker.transport.byte_ms, worker.keepalive_s = 250, 1"
)
HERE = "127.0.0.1"
COMMAND = "holdfast/test-1/command"


class Device:
    """A running script; a context manager that ends it, and its worker's thread before that."""

    def __init__(self, interpreter, *options):
        path = [str(ROOT), str(ROOT / "lib"), str(DEVICE_SCRIPTS), ".frozen"]
        command = [interpreter.binary, *options, str(DEVICE_SCRIPTS / "uplink_worker.py")]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "MICROPYPATH": ":".join(path)},
        )
        self.name = interpreter.name
        self._said = b""
        assert self._value() == "ready"

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        try:
            if not failed and self.process.poll() is None:
                self.do("worker.stop()")
                self.until("not worker.running")
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()

    def _value(self):
        """The next line that is JSON; what comes before it is a complaint and for the report."""
        before = ""
        while True:
            while b"\n" not in self._said:
                ready = select.select([self.process.stdout], [], [], WITHIN_S)[0]
                piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
                assert piece, f"{self.name} says nothing more: {before}{self._said}"
                self._said += piece
            line, self._said = self._said.split(b"\n", 1)
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                assert not isinstance(value, dict) or "error" not in value, before
                return value
            before += line.decode(errors="replace") + "\n"

    def ask(self, expression):
        """The value of an expression on the device."""
        self.process.stdin.write(expression.encode() + b"\n")
        self.process.stdin.flush()
        return self._value()

    do = ask

    def until(self, expression, within_s=WITHIN_S):
        """Wait until it is true; its value."""
        deadline = time.monotonic() + within_s
        while not (value := self.ask(expression)):
            if time.monotonic() > deadline:
                now = self.ask("[worker.state, worker.why, worker.left_s, worker.connections]")
                raise AssertionError(f"not within {within_s} s: {expression}; it is {now}")
            time.sleep(0.005)
        return value

    def go(self, port, host=HERE, tls=False, user="", password=""):
        """Choose a broker; the first attempt is at once."""
        self.do(f"go({host!r}, {port}, {tls}, {user!r}, {password!r})")

    def connect(self, port, **more):
        """The same, and wait until it is connected."""
        count = self.ask("worker.connections")
        self.go(port, **more)
        self.until(f"worker.connections > {count}")

    def put(self, suffix, payload, qos=1, retain=False):
        self.until(f"worker.up.put(({suffix!r}, {payload!r}, {qos}, {retain}))")

    def memory(self, wanted=0, within_s=2):
        """Bytes in use: at most `wanted` as soon as that is so, or what it is after all.

        The worker lets go of a message one round after it has sent it.
        """
        deadline = time.monotonic() + within_s
        while (used := self.ask("memory()")) > wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        return used


def wait_for(condition, what, within_s=WITHIN_S):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)
