"""What the cloud answers to what comes in, and what it says by itself.

No sockets and no threads: messages come in through `handle`, time through `tick`, and everything
goes out through the function `publish`. Records are acknowledged only after their transaction has
been committed, and nothing that a charger sends can end the cloud.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from tools.cloud import messages, pace
from tools.cloud.messages import Malformed
from tools.cloud.store import ACKED_EARLIER, Store

from firmware.access.uid import masked  # isort: skip

ROOT = "holdfast/"
PROBE = ROOT + "cloud/probe"  # the cloud's messages to itself
UPTIME = "$SYS/broker/uptime"
SUBSCRIPTIONS = (
    *((f"{ROOT}+/{name}", 0 if name in ("status", "authorize") else 1) for name in messages.UP),
    (PROBE, 0),
    (UPTIME, 0),
)
DEFAULT_CAPACITY = 50.0  # connects a second
_HEARTBEAT_S = 30.0
_PROBE_S = 1.0
_LOOK_S = 0.25  # how often settings and the window are looked at
_REPORT_S = 3.0  # how often the database is told how things are
_CHANGED_S = 0.5  # and how soon when that has changed
_IDLE_GRANT = pace.BATCH  # for who has nothing to send: enough that it need not ask
_FLEET_S = 30 * 86400.0  # who was not heard for so long does not count as missing
_SAY_S = 60.0  # how often the same charger's malformed messages are logged


_SAVED = ("id", "connected", "seen_s", "since_s", "epoch", "status", "refused", "refusal")


@dataclasses.dataclass
class Message:
    """One message from the broker."""

    topic: str
    payload: bytes
    retained: bool = False


@dataclasses.dataclass
class Charger:
    """What the cloud has in mind about a charger; `store` has it on disk."""

    id: str
    connected: bool = False
    seen_s: float = 0.0
    since_s: float | None = None  # connected or gone since
    epoch: int | None = None
    last_seq: int = 0
    through: int = 0
    refill: int = 0  # so many that an earlier database had acked may still come
    status: str | None = None
    refused: int = 0
    refusal: str | None = None
    changed: bool = True
    said_s: float = -_SAY_S


class Cloud:
    """The cloud on `store`.

    `publish(topic, payload, qos, retain)` returns a function that says whether the broker has it;
    `say` takes a line for the log; `hint(window_s)` is called with the window for DNS.
    """

    def __init__(
        self,
        store: Store,
        publish: Callable[[str, bytes, int, bool], Callable[[], bool]],
        say: Callable[[str], None],
        hint: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ):
        self.store = store
        self._publish = publish
        self._say = say
        self._hint = hint
        self._clock = clock
        self._wall = wall
        self._online = False  # there is a broker
        self._broker_since_s = wall()  # what was heard before that is no sign of a connection
        self.window = pace.Window(DEFAULT_CAPACITY, clock())
        self.grants = pace.Grants()
        self.chargers: dict[str, Charger] = {}
        for row in store.chargers():
            its = Charger(**{name: row[name] for name in _SAVED}, changed=False)
            its.connected = bool(its.connected)
            its.through, its.last_seq = row["through"] or 0, row["last_seq"] or 0
            self.chargers[its.id] = its
        self._strangers = 0  # messages under names that no charger may have
        self._settings: dict[str, Any] = {}
        self._changes = -1
        self._told: dict[str, bytes] = {}  # retained topics, as they were last published
        self._unsure: list[Callable[[], bool]] = []  # of what the broker need not have yet
        self._hinted = 0
        self._heartbeat_s = self._probe_s = self._look_s = self._report_s = -1e9
        self._refill_s = self._trouble_s = -1e9
        self._probes: dict[bytes, float] = {}
        self._probe_works = False
        self._serving: dict[str, Any] = {}
        self._fleet = self._missing = 0

    # The broker

    def up(self) -> None:
        """The broker is there, and what is subscribed to will come."""
        self._online = True
        self._broker_since_s = self._wall()  # until it says how long it has been running
        self._told.clear()
        self._unsure.clear()
        self._probes.clear()
        self._probe_works = False
        self._heartbeat_s = self._look_s = self._report_s = -1e9
        self.tick()

    def down(self) -> None:
        """The broker is gone: nobody knows who is connected."""
        self._online = False
        self._broker_since_s = float("inf")
        self._report_s = -1e9
        self.window.delayed(0.0)

    def here(self, charger: Charger) -> bool:
        """Whether the charger is connected, as far as can be known."""
        return charger.connected and charger.seen_s >= self._broker_since_s

    def _send(self, topic: str, message: dict[str, Any], qos: int = 1) -> None:
        self._publish(ROOT + topic, messages.encode(message), qos, False)

    # Incoming

    def handle(self, batch: Iterable[Message]) -> None:
        """Take messages: one transaction for all of them, then the acks."""
        touched: dict[tuple[str, int], int] = {}
        came: dict[str, int] = {}
        try:
            with self.store.transaction():
                for message in batch:
                    self._take(message, touched, came)
                for charger, epoch in touched:
                    touched[charger, epoch] = self.store.advance(charger, epoch)
        except sqlite3.Error as error:
            # Nobody is acknowledged anything, so all of it comes again.
            self._trouble(error)
            self._unlearn()
            return
        for (name, epoch), through in touched.items():
            self._send(f"{name}/ack", {"epoch": epoch, "through": through})
            its = self.chargers[name]
            if its.epoch == epoch:
                its.through = through
                if its.refill:
                    its.refill = self.store.to_refill(name, epoch)[1]
        for name, count in came.items():
            self.grants.came(name, count, self._clock())
            if self._pending(name):
                self.grants.ask(name)

    def _unlearn(self) -> None:
        """A transaction was undone: forget what was learned in it."""
        for charger in self.chargers.values():
            if charger.changed:
                charger.epoch, charger.last_seq, charger.through = None, 0, 0

    def _trouble(self, error: sqlite3.Error) -> None:
        now_s = self._clock()
        if now_s - self._trouble_s >= _SAY_S:
            self._trouble_s = now_s
            self._say(f"the database cannot be used, and nothing is acknowledged: {error}")

    def _take(
        self, message: Message, touched: dict[tuple[str, int], int], came: dict[str, int]
    ) -> None:
        if message.topic == PROBE:
            self._probe_came(message.payload)
            return
        if message.topic == UPTIME:
            self._uptime(message.payload)
            return
        parts = message.topic.split("/")
        if len(parts) != 3 or not messages.is_charger_id(parts[1]):
            self._strangers += 1
            return
        name, suffix = parts[1], parts[2]
        charger = self.chargers.get(name)
        if charger is None:
            charger = self.chargers[name] = Charger(name)
        try:
            if suffix == "status":
                self._status(charger, message)
                return
            self._heard(charger, message)
            if suffix in ("sessions", "events"):
                self._records(charger, suffix, message, touched, came)
            elif suffix == "authorize":
                self._authorize(charger, message)
            else:
                messages.check(suffix, message.payload)  # a reply: `send` waits for those
        except Malformed as error:
            self._refuse(charger, suffix, str(error))
        except sqlite3.Error:
            raise
        except Exception:  # a fault of ours must not stop the others' records
            self._say(traceback.format_exc())
            self._refuse(charger, suffix, "the cloud failed to understand it")

    def _refuse(self, charger: Charger, suffix: str, sentence: str) -> None:
        charger.refused += 1
        charger.refusal = f"{suffix}: {sentence}"[:300]
        charger.changed = True
        if self._clock() - charger.said_s >= _SAY_S:
            charger.said_s = self._clock()
            self._say(f"{charger.id}: malformed message: {charger.refusal}")

    def _heard(self, charger: Charger, message: Message) -> bool:
        """The charger lives; True if it was not known to be connected."""
        charger.changed = True
        if message.retained:
            return False
        was_here = self.here(charger)
        charger.seen_s = self._wall()
        charger.connected = True
        if not was_here:
            charger.since_s = charger.seen_s
            self.window.connected()
        return not was_here

    def _epoch(self, charger: Charger, epoch: int) -> None:
        if charger.epoch != epoch:
            what = self.store.see_epoch(charger.id, charger.epoch, epoch, self._wall())
            if what == "new":
                self._say(f"{charger.id}: its journal was formatted; it counts anew")
            elif what == "back":
                self._say(f"{charger.id}: an epoch came back: two chargers with one id?")
            charger.epoch = epoch
            charger.last_seq = charger.through = charger.refill = 0
            # In the same transaction as what belongs to it.
            self.store.save_charger(id=charger.id, seen_s=charger.seen_s, epoch=epoch)

    def _records(
        self,
        charger: Charger,
        suffix: str,
        message: Message,
        touched: dict[tuple[str, int], int],
        came: dict[str, int],
    ) -> None:
        epoch, records = messages.records(messages.parse(suffix, message.payload))
        self._epoch(charger, epoch)
        now_s = self._wall()
        last_seq = charger.last_seq
        for record, problem in records:
            if problem:
                self._refuse(charger, suffix, f"record {record['seq']}: {problem}")
            what = self.store.add(charger.id, epoch, record, problem, now_s)
            if what == "conflict":
                self._say(f"{charger.id}: record {record['seq']} came again with other content")
            last_seq = max(last_seq, record["seq"])
            if "lost" in record and not problem:
                last_seq = max(last_seq, record["lost"][1])
        self._reach(charger, epoch, last_seq)
        if records:
            touched[charger.id, epoch] = 0
            came[charger.id] = came.get(charger.id, 0) + len(records)

    def _status(self, charger: Charger, message: Message) -> None:
        status = messages.parse("status", message.payload)
        if status == messages.LAST_WILL:
            if charger.connected:
                charger.since_s = self._wall()
            charger.connected = False
            charger.changed = True
            self.grants.gone(charger.id)
            return
        if status.get("id") != charger.id:
            raise Malformed("its id is another one than its topic's")
        arrived = self._heard(charger, message)
        known = charger.seen_s > 0
        text = message.payload.decode()
        if message.retained:
            # Its connection was not seen to end. A status that is new here (it has the uptime in
            # it) was sent while the cloud was away.
            charger.connected = True
            if text != charger.status:
                charger.seen_s = self._wall()
        charger.status = text
        epoch, acked, last_seq = messages.journal_of(status)
        outdated = message.retained and known and epoch != charger.epoch
        if epoch and not outdated:  # 0: its journal could not be opened
            self._journal(charger, epoch, acked, last_seq, arrived)
        messages.check("status", message.payload)

    def _journal(
        self, charger: Charger, epoch: int, acked: int, last_seq: int, arrived: bool
    ) -> None:
        """A status says how far the charger's journal has come."""
        self._epoch(charger, epoch)
        self._reach(charger, epoch, last_seq)
        charger.through = through = self.store.through(charger.id, epoch)
        if acked > through:
            # The truth first, for a charger that still has what this database has lost.
            self._say(f"{charger.id}: {through + 1} to {acked} were {ACKED_EARLIER}")
            self._ack(charger)
            now_s = self._wall()
            self.store.add_lost(charger.id, epoch, through + 1, acked, ACKED_EARLIER, now_s)
            charger.through = self.store.advance(charger.id, epoch)
            charger.refill = self.store.to_refill(charger.id, epoch)[1]
        elif arrived:
            first, charger.refill = self.store.to_refill(charger.id, epoch)
            if charger.refill:  # it was on the way when the connection ended
                its = {"epoch": epoch, "through": first - 1}
                self._send(f"{charger.id}/ack", its)
            self._ack(charger)
        elif acked < through:
            self._ack(charger)
        if self._pending(charger.id):
            self.grants.ask(charger.id)
            if arrived:
                self._grant_next()
                if self.grants.is_waiting(charger.id):  # it shall not begin to trickle meanwhile
                    self._send(f"{charger.id}/grant", {"records": 0})
        elif arrived:
            self._send(f"{charger.id}/grant", {"records": _IDLE_GRANT})

    def _ack(self, charger: Charger) -> None:
        self._send(f"{charger.id}/ack", {"epoch": charger.epoch, "through": charger.through})

    def _reach(self, charger: Charger, epoch: int, last_seq: int) -> None:
        if last_seq > charger.last_seq:
            charger.last_seq = last_seq
            self.store.reach(charger.id, epoch, last_seq)

    def _authorize(self, charger: Charger, message: Message) -> None:
        if message.retained:
            raise Malformed("it was retained: nobody waits for the answer")
        question = messages.check("authorize", message.payload)
        accepted = self.store.accepts(question["uid"], self._wall())
        answer = {"req": question["req"], "do": "authorize", "accepted": accepted}
        self._send(f"{charger.id}/command", answer)
        shown = masked(bytes.fromhex(question["uid"]))
        self._say(f"{charger.id}: key {shown} {'accepted' if accepted else 'refused'}")

    def _probe_came(self, payload: bytes) -> None:
        sent_s = self._probes.pop(payload, None)
        if sent_s is not None:
            self._probe_works = True
            self._probes.clear()  # those before it were lost
            self.window.delayed(self._clock() - sent_s)

    def _uptime(self, payload: bytes) -> None:
        # Mosquitto says "123 seconds". Who was heard since the broker started is connected still,
        # for all that is known; without this, only who was heard since the cloud came to it.
        words = payload[:32].split()
        if words and words[0].isdigit() and len(words[0]) < 12:
            self._broker_since_s = min(self._broker_since_s, self._wall() - int(words[0]))

    # By itself

    def tick(self) -> None:
        """Do what is due; call it ten times a second or so."""
        now_s = self._clock()
        if now_s - self._look_s >= _LOOK_S:
            self._look_s = now_s
            try:
                self._look(now_s)
            except sqlite3.Error as error:
                self._trouble(error)
        if not self._online:
            return
        if now_s - self._heartbeat_s >= _HEARTBEAT_S:
            self._heartbeat_s = now_s
            self._send("fleet/heartbeat", {"utc": messages.utc_text(self._wall())}, 0)
        if now_s - self._probe_s >= _PROBE_S:
            self._probe_s = now_s
            if self._probes and self._probe_works:
                self.window.delayed(now_s - min(self._probes.values()))
            if len(self._probes) < 60:
                token = f"{id(self)} {now_s}".encode()
                self._probes[token] = now_s
                self._publish(PROBE, token, 0, False)
        self._grant_all(now_s)

    def _look(self, now_s: float) -> None:
        """Settings, window, hint, and what the database is told."""
        changes = self.store.changes()
        if changes != self._changes:
            self._changes = changes
            self._settings = self.store.settings()
            self._apply()
        wall_s = self._wall()
        fleet = [its for its in self.chargers.values() if wall_s - its.seen_s < _FLEET_S]
        self._fleet = len(fleet)
        self._missing = self._fleet - sum(map(self.here, fleet))
        offline = self._offline_until_s() > wall_s
        if self.window.steps > 1 and not offline and pace.all_back(self._fleet, self._missing):
            self._say("all chargers are back: the window is as usual")
            self._write(steps=None)
        self.window.measure(self._fleet, self._missing, now_s)
        if self._hint and self.window.hint_s != self._hinted:
            self._hinted = self.window.hint_s
            self._hint(self._hinted)
        if self._online:
            self._publish_retained(offline)
        self._unsure = [has_it for has_it in self._unsure if not has_it()]
        applied = self._settings.get("revision", 0)
        if self._online and not self._unsure and applied != self._serving.get("revision"):
            self._serving["revision"] = applied
            self._report_s = -1e9
        changed = [its for its in self.chargers.values() if its.changed]
        if now_s - self._report_s >= (_CHANGED_S if changed else _REPORT_S):
            self._report_s = now_s
            self._tell_database(changed)

    def _apply(self) -> None:
        its = self._settings
        self.window.set_capacity(its.get("capacity", DEFAULT_CAPACITY))
        self.window.fixed_s = its.get("window_s", 0)
        self.window.steps = its.get("steps", 1)

    def _offline_until_s(self) -> float:
        until = self._settings.get("offline_until")
        return messages.utc_s(until) if until else 0.0

    def _publish_retained(self, offline: bool) -> None:
        # The window first: who goes offline takes it along for the way back.
        window = {
            "window_s": self.window.retained_s,
            "strict_first": self._settings.get("strict_first", True),
        }
        self._retain("fleet/window", messages.encode(window))
        if offline:
            message = {
                "until": self._settings["offline_until"],
                "reason": self._settings.get("offline_reason", ""),
            }
            self._retain("fleet/offline", messages.encode(message))
        else:
            self._retain("fleet/offline", b"")

    def _retain(self, topic: str, payload: bytes) -> None:
        if self._told.get(topic) != payload:
            self._told[topic] = payload
            self._unsure.append(self._publish(ROOT + topic, payload, 1, True))

    def _grant_all(self, now_s: float) -> None:
        passed_s = min(1.0, now_s - self._refill_s)
        self._refill_s = now_s
        window = self.window
        self.grants.refill(window.measured_capacity, window.connects_per_s, window.slow, passed_s)
        for name in self.grants.expired(now_s):
            # What it sent may have been lost on the way, and so may the ack.
            if self.here(self.chargers[name]) and self._pending(name):
                self._ack(self.chargers[name])
                self.grants.ask(name)
        while self._grant_next():
            pass

    def _grant_next(self) -> bool:
        turn = self.grants.next(self._pending, self._clock())
        if turn:
            self._send(f"{turn[0]}/grant", {"records": turn[1]})
        return turn is not None

    def _pending(self, name: str) -> int:
        charger = self.chargers[name]
        waits = max(0, charger.last_seq - charger.through) + charger.refill
        return waits if charger.connected else 0

    def _write(self, **settings: Any) -> None:
        with self.store.transaction():
            self.store.put(**settings)
        self._settings = self.store.settings()
        self._apply()

    def _tell_database(self, changed: list[Charger]) -> None:
        """For the commands: how things are now."""
        window = self.window
        self._serving.update(
            at_s=self._wall(),
            broker=self._online,
            broker_since_s=None if self._broker_since_s == float("inf") else self._broker_since_s,
            fleet=self._fleet,
            missing=self._missing,
            connects_per_s=round(window.connects_per_s, 2),
            capacity=round(window.measured_capacity, 2),
            window_s=window.retained_s,
            hint_s=window.hint_s,
            slow=window.slow,
            strangers=self._strangers,
        )
        with self.store.transaction():
            self.store.put(serving=self._serving)
            for its in changed:
                self.store.save_charger(**{name: getattr(its, name) for name in _SAVED})
        for its in changed:
            its.changed = False
