"""The cloud as a process: a broker in front, a database behind, and one thread in between.

Promises: it comes back to a broker that was away; two of them never work on one database; SIGTERM
and SIGKILL lose nothing that was acknowledged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import queue
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tools.cloud.cloud import SUBSCRIPTIONS, Cloud, Message
from tools.cloud.link import Broker, Link, LinkError
from tools.cloud.store import Store

_INBOX = 5000  # messages that wait at most; then the broker keeps them
_BATCH = 500  # messages in one transaction at most
_ROUND_S = 0.1
_LONGEST = 70000  # bytes of a message that is looked at
_RETRY_S = 0.4  # doubled at each failure, half of it at random: the broker is ours, and full soon
_RETRY_AT_MOST_S = 6.0
_SAY_S = 60.0


class ServeError(Exception):
    """The cloud cannot be started; the text is a sentence."""


@dataclasses.dataclass(frozen=True)
class Hint:
    """Where the window for DNS is written, and how: a line of a hosts file or of a zone."""

    path: Path
    host: str
    form: str = "hosts"

    def write(self, window_s: int) -> None:
        """Replace the file by one with this window."""
        address = f"127.0.{window_s >> 8}.{window_s & 255}"
        if self.form == "hosts":
            line = f"{address} {self.host}\n"
        else:
            line = f"{self.host.rstrip('.')}. 30 IN A {address}\n"
        new = self.path.with_name(self.path.name + ".new")
        new.write_text(line)
        os.replace(new, self.path)


def say(text: str) -> None:
    """One line of the log."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(f"{stamp} cloud: {text}", file=sys.stderr, flush=True)


def serve(
    broker: Broker, database: Path, hint: Hint | None = None, with_parent: bool = False
) -> None:
    """Run until SIGTERM or SIGINT, or with `with_parent` until standard input ends."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if with_parent:
        threading.Thread(target=_wait_for_end, args=(stop,), daemon=True).start()
    store = Store(database)
    with _only_one(database), contextlib.closing(store):
        with store.transaction():
            store.put(broker=dataclasses.asdict(broker))  # so that `send` finds it
        _Process(broker, store, hint).run(stop)


def _wait_for_end(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


@contextlib.contextmanager
def _only_one(database: Path):
    lock = database.with_name(database.name + ".lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ServeError(f"Another cloud is working with the database {database}.") from None
        yield


class _Process:
    """What ties the link's thread to the cloud."""

    def __init__(self, broker: Broker, store: Store, hint: Hint | None):
        self._broker = broker
        self._inbox: queue.Queue[Any] = queue.Queue(_INBOX)
        self._link: Link | None = None
        self._closing = False
        self._retry_s = 0.0  # when to try the broker again
        self._failures = 0
        self._said = ("", 0.0)
        self._write_hint = hint
        self._cloud = Cloud(store, self._publish, say, self._hint if hint else None)

    def run(self, stop: threading.Event) -> None:
        say(f"serving {self._broker}")
        while not stop.is_set():
            if self._link is None and time.monotonic() >= self._retry_s:
                self._connect()
            self._work()
            self._cloud.tick()
        self._closing = True
        if self._link:
            self._link.close()
        say("stopped")

    def _connect(self) -> None:
        try:
            self._link = Link(
                self._broker,
                "holdfast-cloud",
                SUBSCRIPTIONS,
                lambda: self._put(("up", "")),
                lambda topic, payload, retained: self._put(
                    Message(topic, payload[:_LONGEST], retained)
                ),
                lambda sentence: self._put(("down", sentence)),
            )
        except LinkError as error:
            self._lost(str(error))

    def _put(self, item: Any) -> None:
        """From the link's thread. A full inbox stops it from reading: the broker keeps the rest."""
        while not self._closing:
            with contextlib.suppress(queue.Full):
                self._inbox.put(item, timeout=_ROUND_S)
                return

    def _lost(self, sentence: str) -> None:
        self._link = None
        wait_s = min(_RETRY_AT_MOST_S, _RETRY_S * 2.0 ** min(self._failures, 9))
        self._retry_s = time.monotonic() + wait_s * random.uniform(0.5, 1.0)
        self._failures += 1
        if self._said[0] != sentence or time.monotonic() - self._said[1] > _SAY_S:
            self._said = (sentence, time.monotonic())
            say(sentence)

    def _work(self) -> None:
        """Take what is in the inbox, or wait a moment for something."""
        batch: list[Message] = []
        with contextlib.suppress(queue.Empty):
            item = self._inbox.get(timeout=_ROUND_S)
            while True:
                if isinstance(item, Message):
                    batch.append(item)
                else:
                    self._flush(batch)
                    self._changed(*item)
                if len(batch) >= _BATCH:
                    break
                item = self._inbox.get_nowait()
        self._flush(batch)

    def _flush(self, batch: list[Message]) -> None:
        if batch:
            self._cloud.handle(batch)
            batch.clear()

    def _changed(self, what: str, sentence: str) -> None:
        if what == "up":
            say(f"connected to {self._broker}")
            self._said = ("", 0.0)
            self._failures = 0
            self._cloud.up()
        else:
            link, self._link = self._link, None
            if link:
                link.close()
            self._lost(sentence)
            self._cloud.down()

    def _publish(self, topic: str, payload: bytes, qos: int, retain: bool):
        if self._link is None:
            return lambda: False
        return self._link.publish(topic, payload, qos, retain)

    def _hint(self, window_s: int) -> None:
        try:
            self._write_hint.write(window_s)
        except OSError as error:
            say(f"the hint cannot be written: {error}")
