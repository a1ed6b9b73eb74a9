"""The reference cloud as a process, and chargers made of paho that keep the contract, for tests."""

import contextlib
import io
import json
import multiprocessing
import os
import pathlib
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import paho.mqtt.client as mqtt

from tools.cloud import link, serve
from tools.cloud.__main__ import main

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
WITHIN_S = 20


def seeded():
    seed = random.randrange(1 << 30)
    print("seed", seed)
    return random.Random(seed)


def wait_for(what, condition, within_s=WITHIN_S):
    """Poll `condition` until it is true; what it returned, or AssertionError."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.01)


class RunningCloud:
    """`python -m tools.cloud serve`, connected to its broker when made; a context manager."""

    def __init__(self, port, database, *arguments, environment=None):
        self.database = database
        self.log = database.with_suffix(".log")
        start = self.log.stat().st_size if self.log.exists() else 0
        command = [sys.executable, "-m", "tools.cloud", "serve", "--database", str(database)]
        command += ["--broker", f"{HOST}:{port}", "--with-parent", *arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )
        try:
            wait_for("the cloud is connected", lambda: "connected to" in self.said()[start:])
        except BaseException:
            self.kill()
            print(self.said())
            raise

    def said(self):
        return self.log.read_text()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(WITHIN_S)
            self.process.stdin.close()
            assert code == 0, self.said()[-3000:]
            assert "Traceback" not in self.said(), self.said()[-3000:]

    def run(self, *arguments, code=0):
        """The output of a command on this cloud's database, which must end with `code`.

        In this process, which is quicker; `run` below starts one.
        """
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            ended = main([*map(str, arguments), "--database", str(self.database)])
        assert ended == code, (ended, said.getvalue())
        return said.getvalue()

    def rows(self):
        """The lines of `chargers --json`, by id."""
        found = json.loads(self.run("chargers", "--json"))
        return {row["id"]: row for row in found}


class ForkedCloud:
    """The same, from a process that has imported everything already: it is there in a moment."""

    def __init__(self, port, database):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tools.cloud.serve"])
        self.process = context.Process(target=_serve, args=(port, database), daemon=True)
        self.process.start()
        log = _log(database, self.process.pid)
        wait_for("the cloud is connected", lambda: log.exists() and "connected" in log.read_text())

    def kill(self):
        self.process.kill()
        self.process.join()


def _log(database, pid):
    return database.with_name(f"{pid}.log")


def _serve(port, database):
    with _log(database, os.getpid()).open("w") as log:
        os.dup2(log.fileno(), 2)
        serve.serve(link.Broker(HOST, port), database)


def run(*arguments, code=0, stdin=None):
    """What `python -m tools.cloud` prints, errors included; it must end with `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.cloud", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=stdin or subprocess.DEVNULL,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def status(charger, epoch=1, acked=0, last_seq=0, **more):
    """A whole status, as a charger without a car publishes it."""
    return {
        "id": charger,
        "online": True,
        "state": "Available",
        "pilot": "A",
        "reason": {"code": "NoCar", "text": "No car is plugged in."},
        "cable": {"plugged": False, "locked": False, "rating_a": None},
        "session": None,
        "limit_a": 16,
        "offline_since_s": None,
        "policy": "open",
        "faults": [],
        "clock": {"utc": "2026-11-23T11:50:00Z", "quality": "cloud"},
        "journal": {
            "pending": last_seq - acked,
            "capacity": 20000,
            "percent": 0,
            "notice": None,
            "epoch": epoch,
            "acked": acked,
            "last_seq": last_seq,
        },
        "firmware": "0.2.0",
        **more,
    }


class Client:
    """An MQTT client whose messages wait in `inbox` as (topic, parsed payload, retained)."""

    def __init__(self, port, name, topics, will=None):
        self.inbox = queue.Queue()
        self._up = False
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=name, reconnect_on_failure=False
        )
        if will:
            self.client.will_set(*will)
        self.client.on_connect = lambda client, *_: client.subscribe([(t, 1) for t in topics])
        self.client.on_subscribe = self._subscribed
        self.client.on_message = self._message
        self.client.connect(HOST, port)
        self.client.loop_start()
        wait_for("the client is subscribed", lambda: self._up)

    def _subscribed(self, *_):
        self._up = True

    def _message(self, _client, _data, its):
        self.inbox.put((its.topic, json.loads(its.payload or "null"), its.retain))

    def publish(self, topic, message, qos=1, retain=False):
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.client.publish(topic, payload, qos, retain).wait_for_publish(WITHIN_S)

    def next(self, suffix, within_s=WITHIN_S):
        """The next message of a topic that ends so; others before it are dropped."""
        deadline = time.monotonic() + within_s
        while True:
            topic, message, _ = self.inbox.get(timeout=max(0.01, deadline - time.monotonic()))
            if topic.endswith(suffix):
                return message

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def drop(self):
        """Lose the connection: the broker publishes the last will."""
        self.client.loop_stop()
        with contextlib.suppress(OSError):
            self.client.socket().shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.client.socket().close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class FakeCharger(Client):
    """A charger with `records` (see FakeJournal), which it sends when it is told to."""

    def __init__(self, port, name, epoch=1, records=()):
        self.id = name
        self.epoch = epoch
        self.records = list(records)
        self.root = f"holdfast/{name}/"
        topics = [self.root + down for down in ("ack", "grant", "command")]
        will = (self.root + "status", json.dumps({"online": False}), 1, True)
        super().__init__(port, name, [*topics, "holdfast/fleet/+"], will)

    def tell(self, acked=0, **more):
        """Publish a status, retained."""
        last_seq = self.records[-1]["seq"] if self.records else 0
        its = status(self.id, self.epoch, acked, max(acked, last_seq), **more)
        self.publish(self.root + "status", its, 0, True)

    def send(self, records, topic=None):
        """Publish records, on the topic that their kinds ask for."""
        sessions = all(r.get("kind", "session").startswith(("session", "check")) for r in records)
        topic = topic or ("sessions" if sessions else "events")
        self.publish(self.root + topic, {"epoch": self.epoch, "records": list(records)})

    def ack(self, within_s=WITHIN_S):
        """The next ack's number."""
        its = self.next("/ack", within_s)
        assert its["epoch"] == self.epoch
        return its["through"]

    def wait_ack(self, through):
        """Take acks up to `through`, each of them at least the one before."""
        last = -1
        while last < through:
            ack = self.ack()
            assert last <= ack <= through, (last, ack, through)
            last = ack


class Answering:
    """Answers the commands to `charger` with `reply`, on a thread of its own.

    `taken` has the commands, `others` all else that came to the charger meanwhile.
    """

    def __init__(self, charger, reply):
        self.taken = []
        self.others = []
        self._charger = charger
        self._reply = reply
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _run(self):
        while not self._ended.is_set():
            if self._charger.inbox.empty():
                time.sleep(0.005)
                continue
            topic, message, retained = self._charger.inbox.get()
            if not topic.endswith("/command"):
                self.others.append((topic, message, retained))
                continue
            self.taken.append(message)
            root = self._charger.root
            self._charger.publish(root + "reply", {"req": "someone else", "ok": True})
            self._charger.publish(root + "reply", {"req": message["req"], **self._reply})
