"""One connection to an MQTT broker, for the cloud and for its commands.

A link is used for one connection and then thrown away: what was not delivered on it is never sent
again, since an old ack that comes after a newer one would look like a lost database.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

import paho.mqtt.client as mqtt

PASSWORD_VARIABLE = "HOLDFAST_MQTT_PASSWORD"  # the environment's: a command line is seen by all
_KEEP_ALIVE_S = 30
_CONNECT_S = 10.0
_IN_FLIGHT = 500
_SYSTEM = "system"


class LinkError(Exception):
    """The broker cannot be reached or does not let us in; the text is a sentence."""


@dataclasses.dataclass(frozen=True)
class Broker:
    """Where the broker is. `tls` is a file of CA certificates, "system", or "" for none."""

    host: str
    port: int
    tls: str = ""
    user: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def broker(address: str, tls: str = "", user: str = "") -> Broker:
    """The broker at "host" or "host:port"; ValueError with a sentence if that makes no sense."""
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, port = address, "8883" if tls else "1883"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"The broker's port {port!r} is no number from 1 to 65535.")
    host = host.strip("[]")
    if not host:
        raise ValueError(f"The broker {address!r} has no host: it must look like 127.0.0.1:1883.")
    if tls and tls != _SYSTEM:
        try:
            ssl.create_default_context(cafile=tls)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"The CA certificates {tls} cannot be read: {error}.") from None
        tls = str(Path(tls).resolve())
    return Broker(host, int(port), tls, user)


class Link:
    """A connection to `broker`; LinkError when there is nobody.

    The functions are called from a thread of its own: `ready()` once all of `topics` (each with its
    QoS) are subscribed to, `message(topic, payload, retained)`, and `ended(sentence)` exactly once.
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        topics: Iterable[tuple[str, int]],
        ready: Callable[[], None],
        message: Callable[[str, bytes, bool], None],
        ended: Callable[[str], None],
    ):
        self._topics = list(topics)
        self._ready = ready
        self._ended = ended
        self._reason = ""
        self._client = client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=f"{name}-{secrets.token_hex(4)}",
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages_set(_IN_FLIGHT)
        if broker.user:
            client.username_pw_set(broker.user, os.environ.get(PASSWORD_VARIABLE))
        if broker.tls:
            client.tls_set(None if broker.tls == _SYSTEM else broker.tls)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_disconnect = self._disconnected
        client.on_message = lambda _client, _data, its: message(
            its.topic, bytes(its.payload), its.retain
        )
        try:
            client.connect(broker.host, broker.port, _KEEP_ALIVE_S)
        except (OSError, ValueError) as error:
            raise LinkError(f"the broker {broker} cannot be reached: {error}") from None
        client.loop_start()

    def publish(
        self, topic: str, payload: bytes, qos: int = 1, retain: bool = False
    ) -> Callable[[], bool]:
        """Send; the function returned says whether the broker has it."""
        info = self._client.publish(topic, payload, qos, retain)
        return lambda: info.rc == mqtt.MQTT_ERR_SUCCESS and info.is_published()

    def close(self) -> None:
        """End the connection and wait until its thread has ended."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client, _data, _flags, reason, _properties) -> None:
        if reason.is_failure:
            self._reason = f"the broker refuses: {reason}"
            client.disconnect()
        else:
            client.subscribe(self._topics)

    def _subscribed(self, client, _data, _mid, reasons, _properties) -> None:
        # A broker need not tell about itself ($SYS).
        needed = [r for (topic, _), r in zip(self._topics, reasons, strict=True) if topic[0] != "$"]
        if any(reason.is_failure for reason in needed):
            self._reason = "the broker refuses a subscription"
            client.disconnect()
        else:
            self._ready()

    def _disconnected(self, _client, _data, _flags, reason, _properties) -> None:
        self._ended(self._reason or f"the connection to the broker ended: {reason}")
