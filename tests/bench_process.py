"""A whole `make run` (bench, charger, broker) as a process, for the tests of the bench."""

import http.client
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
READY_WITHIN_S = 60


class RunningBench:
    """`python -m tools.bench` with free ports and a flash in `folder`, running when made.

    `ready` is its JSON line. Use it as a context manager; leaving it ends the bench.
    """

    def __init__(self, folder, **environment):
        ports = {"HTTP_PORT": "0", "BENCH_PORT": "0", "MQTT_PORT": "0"}
        self.process = start(folder, HEADLESS="1", **{**ports, **environment})
        try:
            self.ready = self._ready_line()
        except BaseException:
            self.process.kill()
            raise

    def _ready_line(self):
        if not select.select([self.process.stdout], [], [], READY_WITHIN_S)[0]:
            raise AssertionError(f"no ready line within {READY_WITHIN_S} s")
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the bench ended: " + self.process.stderr.read())
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self, number=signal.SIGTERM):
        """Send the signal and wait; the rest of its standard output and error."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.communicate(timeout=20)

    def get(self, path, base=None):
        """Status and content of an address of the bench, or of `base`."""
        return _exchange(urllib.request.Request((base or self.ready["bench"]) + "/" + path))

    def post(self, path, **fields):
        """Status and content of an action of the bench."""
        return self.post_bytes(path, json.dumps(fields).encode())

    def post_bytes(self, path, body):
        headers = {"Content-Type": "application/json"}
        return _exchange(urllib.request.Request(self.ready["bench"] + "/" + path, body, headers))

    def hardware(self):
        return self.get("hardware")[1]

    def wait_for(self, what, condition, within_s=20):
        """Poll GET /hardware until `condition` of it; AssertionError with what was seen last."""
        return self._wait(what, self.hardware, condition, within_s)

    def wait_for_charger(self, what, condition, within_s=30):
        """The same with the charger's own GET /api/status."""

        def look():
            try:
                return self.get("api/status", self.ready["page"])[1]
            except (OSError, http.client.HTTPException) as error:
                return error

        return self._wait(what, look, condition, within_s)

    def _wait(self, what, look, condition, within_s):
        deadline = time.monotonic() + within_s
        while True:
            seen = look()
            if not isinstance(seen, Exception) and condition(seen):
                return seen
            if time.monotonic() > deadline:
                log = self.get("serial")[1]["text"][-1500:]
                raise AssertionError(f"not within {within_s} s: {what}\nlast seen: {seen!r}\n{log}")
            time.sleep(0.05)

    def tidy(self):
        """Power on, no fault, no car: what a test finds, however the one before it ended."""
        hardware = self.post("power", on=True)[1]
        for name, on in hardware["faults"].items():
            if on:
                self.post("fault", name=name, on=False)
        if hardware["plugged"]:
            self.post("car", state="A", asleep=False, ignores_duty=False)
            self.wait_for("the cable is released", lambda hw: hw["lock"] == "unlocked", 40)
            self.post("unplug")
        self.wait_for_charger("the charger is free", lambda s: s["state"] == "Available")

    def descendants(self):
        """Process ids of everything that the bench has started."""
        parents = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                parents[int(entry.name)] = int(fields[1])
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found[1:]


def start(folder, **environment):
    """The bench's process, not waited for."""
    return subprocess.Popen(
        [sys.executable, "-m", "tools.bench"],
        cwd=ROOT,
        env={**os.environ, "RUN_FOLDER": str(folder), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_gone(pids, within_s=10):
    """AssertionError if one of the processes is still there after that."""
    deadline = time.monotonic() + within_s
    while left := [pid for pid in pids if _lives(pid)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.05)


def _lives(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # a container without an init reaps late


def _exchange(request):
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
