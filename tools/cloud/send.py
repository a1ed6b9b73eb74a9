"""Sends one command to a charger and waits for its reply."""

from __future__ import annotations

import json
import queue
import secrets
import time
from typing import Any

from tools.cloud import messages
from tools.cloud.link import Broker, Link, LinkError

KEYS_AT_ONCE = 8
_CONNECT_S = 15.0


class NoReply(Exception):
    """The charger did not answer in time, or could not be asked; the text is a sentence."""


class Sender:
    """A connection on which one charger is asked; a context manager."""

    def __init__(self, broker: Broker, charger: str):
        self._charger = charger
        self._inbox: queue.Queue[tuple[str, Any]] = queue.Queue()
        put = self._inbox.put
        try:
            self._link = Link(
                broker,
                "holdfast-send",
                [(f"holdfast/{charger}/reply", 1)],
                lambda: put(("ready", None)),
                lambda _topic, payload, _retained: put(("reply", payload)),
                lambda sentence: put(("ended", sentence)),
            )
        except LinkError as error:
            raise NoReply(f"{str(error).capitalize()}.") from None
        try:
            self._wait("ready", _CONNECT_S)
        except BaseException:
            self._link.close()
            raise

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def ask(self, command: dict[str, Any], within_s: float) -> dict[str, Any]:
        """The reply to `command` (without its `req`); Malformed if it is no command at all."""
        req = secrets.token_hex(8)
        payload = messages.encode({"req": req, **command})
        messages.check("command", payload)
        self._link.publish(f"holdfast/{self._charger}/command", payload)
        deadline = time.monotonic() + within_s
        while True:
            payload = self._wait("reply", deadline - time.monotonic())
            try:
                reply = messages.check("reply", payload)
            except messages.Malformed as error:
                raise NoReply(f"The charger's reply makes no sense: {error}.") from None
            if reply["req"] == req:  # else it is somebody else's
                return reply

    def _wait(self, wanted: str, within_s: float) -> Any:
        try:
            what, value = self._inbox.get(timeout=max(0.0, within_s))
        except queue.Empty:
            raise NoReply(
                f"{self._charger} did not reply."
                if wanted == "reply"
                else "The broker did not answer."
            ) from None
        if what == "ended":
            raise NoReply(f"{value[:1].upper()}{value[1:]}.")
        return value if what == wanted else self._wait(wanted, within_s)


def key_commands(add: list[dict[str, Any]], remove: list[str]) -> list[dict[str, Any]]:
    """The commands that change a charger's key list so; each fits into one message."""
    parts = [("add", entry) for entry in add] + [("remove", uid) for uid in remove]
    commands: list[dict[str, Any]] = []
    for name, part in parts:
        last = commands[-1] if commands else {}
        count = len(last.get("add", ())) + len(last.get("remove", ()))
        room = messages.LONGEST_DOWN - 40 - len(json.dumps(last)) - len(json.dumps(part))
        if not commands or count >= KEYS_AT_ONCE or room < 40:
            last = {"do": "keys"}
            commands.append(last)
        last.setdefault(name, []).append(part)
    return commands
