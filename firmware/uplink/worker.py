"""The thread that owns the connection to the broker, and everything about it that can block.

Promises: the rest of the charger never waits for it, two mailboxes tie it to them; it survives
every error and whatever a broker sends, and comes back as backoff.py says; only one message is
under way at a time, and a connection on which anything went wrong is not used again.

Not promised: that a message put into `up` arrives. What was in it when a connection ends is
forgotten: `connections` has grown then, and the owner starts again from what is not acked. A
broker whose messages nobody takes out of `down` loses the connection rather than a message.

The thread never touches a file, and imports nothing: neither the file system nor the list of
modules is made for two threads.
"""

import errno
import time

from micropython import const
from umqtt import simple

from firmware import ticks
from firmware.briefly import briefly
from firmware.clock import now_ms
from firmware.uplink.backoff import ASK_MS, BUSY, FAILED, LOST, OWN, REFUSED, STABLE_MS, hint_s
from firmware.uplink.mailbox import Mailbox
from firmware.uplink.transport import CONNACK, PUBACK, SUBACK, Transport, address_of

_STEP_MS = const(100)
_POLL_MS = const(50)
_ROOM_STEP_MS = const(20)
_LAST_PID = const(65534)
_NOT_SUBSCRIBED = const(128)
_CLOCK_IS_SET = const(2024)  # the year; without a battery it is 2000


class Worker:
    """The connection of charger `charger_id`; `draw(most)` returns a random number from 0 to most.

    broker.py says where to, and starts the thread. Set by the owner at any time: `hint_host` (see
    backoff.py; "" for none), `wifi_up`, and `paused`: leave, and stay away until it is False again.
    Whatever ends a connection, it ends without DISCONNECT: the broker would keep the last will to
    itself then, and who reads the retained status would take the charger for connected.

    To be read: `state` ("off", "no-wifi", "no-clock": certificates cannot be checked, "waiting",
    "refused": waiting after a login that was refused, "connecting", "connected"), `why` it last
    failed, None while it is connected, `left_s` to the next attempt, or None, `connections` so far,
    `skipped` messages that were too long.

    `up` takes (topic behind holdfast/<id>/, payload as bytes, QoS 0 or 1, retained), `down` gives
    (topic, payload), both bytes or bytearrays.
    """

    # Deadlines; tests make them shorter.
    connect_ms = 30000  # TCP, TLS, CONNACK
    operation_ms = 20000  # a subscription, a publication with its PUBACK, an incoming packet
    pong_ms = 10000
    room_ms = 3000  # for a place in `down`
    keepalive_s = 60

    def __init__(self, charger_id, backoff, draw):
        self.backoff = backoff
        self.up = Mailbox(8)
        self.down = Mailbox(3)
        self.hint_host = ""
        self.wifi_up = True
        self.paused = self.running = self.stopping = False
        self.state = "off"
        self.left_s = None
        self.connections = self.skipped = 0
        self.transport = simple.socket = Transport()  # type: ignore[attr-defined]
        self.place = ("",)  # host, port, whether TLS, user, password, as broker.py was told
        self.target = None  # the same for the thread, with an SSLContext
        self.trouble = self._worded = self._why = None
        self._draw = draw
        self._id = charger_id
        self._client = None

    def stop(self):
        """End the thread soon, the connection without a word; `running` is False when it has."""
        self.stopping = self.transport.stopping = True

    @property
    def why(self):
        """What went wrong last, as a sentence, or None. Never contains the password."""
        trouble = self.trouble
        if trouble is not self._worded:
            words = briefly("firmware.uplink.trouble").words
            self._why = trouble and words(trouble, self.place[0])
            self._worded = trouble
        return self._why

    # All that follows is the thread's.

    def run(self):
        """Be the thread, until `stop`."""
        while not self.stopping:
            try:
                self._live()
            except Exception:  # noqa: BLE001 -- no memory even for the end of a connection
                time.sleep_ms(_STEP_MS)
        self.state = "off"
        self.running = False

    def _live(self):
        """From the wait for a connection to its end, whatever that is."""
        target = self.target
        end = OWN
        try:
            if self._turn(target):
                self._connect(target)
                self._stay(target)
        except Exception as e:  # noqa: BLE001 -- whatever it is, the thread goes on
            was = self.state
            self.state = "waiting"
            time.sleep_ms(_STEP_MS)  # but it must not race; and `wifi_up` may be a moment late
            if target is self.target and self.wifi_up and not self.stopping:
                end = self._end(e, was)
                self.trouble = e
        if target is not self.target:
            self.backoff.stable()  # what was before says nothing about another broker
            end = OWN
        self.backoff.ended(end)
        self.state = "refused" if end == REFUSED else "waiting"
        self._client = None
        self.transport.close()
        self.up.clear()

    def _end(self, e, was):
        """What the exception `e` in the state `was` means for the next attempt."""
        code = e.args[0] if e.args else 0
        if isinstance(e, simple.MQTTException) and code in (1, 2, 3, 4, 5, _NOT_SUBSCRIBED):
            return BUSY if code == 3 else REFUSED
        if was != "connected":
            return FAILED
        # lwIP says this when its network is gone, and through TLS it is negative.
        return OWN if code in (errno.ECONNABORTED, -errno.ECONNABORTED) else LOST

    def _turn(self, target):
        """Wait for the next attempt: True, now; False, there is another target."""
        backoff = self.backoff
        wait_ms = -1
        urgency = began = asked = 0
        while self.target is target and not self.stopping:
            step_ms = _STEP_MS
            state = None
            if target is None or self.paused:
                state = "off"
            elif not self.wifi_up:
                state = "no-wifi"
            elif target[2] and time.gmtime()[0] < _CLOCK_IS_SET:
                state = "no-clock"
            if state:
                self.state = state
                self.left_s = None
                wait_ms = -1
            else:
                if wait_ms < 0:
                    self._ask()
                    urgency = backoff.urgency
                    wait_ms = backoff.wait_ms(self._draw15)
                    began = asked = now_ms()
                    if self.state != "refused":
                        self.state = "waiting"
                left_ms = wait_ms - ticks.diff(now_ms(), began)
                if urgency != backoff.urgency:
                    # Another place, unless it is behind the one it has.
                    urgency = backoff.urgency
                    kept = (backoff._range_s, backoff._drawn_s, backoff._wait_ms)
                    new_ms = backoff.wait_ms(self._draw15)
                    if new_ms < left_ms:
                        began = now_ms()
                        wait_ms = left_ms = new_ms
                    else:
                        backoff._range_s, backoff._drawn_s, backoff._wait_ms = kept
                if wait_ms and (left_ms <= 0 or ticks.diff(now_ms(), asked) >= ASK_MS):
                    self._ask()
                    asked = now_ms()
                    left_ms = backoff.left_ms(ticks.diff(asked, began))
                    wait_ms = ticks.diff(asked, began) + left_ms
                if left_ms <= 0:
                    return True
                self.left_s = (left_ms + 999) // 1000
                step_ms = min(left_ms, _STEP_MS)
            time.sleep_ms(step_ms)
        return False

    def _ask(self):
        """What DNS says about the window. Blocks."""
        window_s = 0
        if self.hint_host:
            try:
                window_s = hint_s(address_of(self.hint_host))
            except OSError:
                pass
        self.backoff.hint_s = window_s

    def _draw15(self):
        return self._draw(32767)

    def _connect(self, target):
        self.state = "connecting"
        self.left_s = None
        host, port, self.transport.context, user, password = target
        own = "holdfast/" + self._id + "/"
        self._client = client = simple.MQTTClient(
            self._id, host, port, user, password, self.keepalive_s
        )
        client.set_callback(self._receive)
        client.set_last_will(own + "status", b'{"online": false}', True, 1)
        self._allow(self.connect_ms, CONNACK)
        client.connect()
        for topic in (own + "ack", own + "grant", own + "command", "holdfast/fleet/+"):
            self._allow(self.operation_ms, SUBACK)
            client.subscribe(topic, 1)
        self.trouble = None
        self.up.clear()
        self.connections += 1
        self.state = "connected"

    def _allow(self, ms, awaited):
        """The operation that follows may take `ms`, and what it waits for is `awaited`."""
        transport = self.transport
        client = self._client
        if client.pid >= _LAST_PID:
            client.pid = 0  # umqtt adds one, and never starts again
        transport.pid = client.pid + 1
        transport.awaited = awaited
        transport.until = ticks.add(now_ms(), ms)

    def _stay(self, target):
        """Send and receive until the connection is not wanted any more."""
        transport = self.transport
        client = self._client
        began = asked = now_ms()
        idle_ms = self.keepalive_s * 750
        stable = pinged = False
        while self.target is target and self.wifi_up and not self.stopping and not self.paused:
            message = self.up.take()
            if transport.ready(0 if message else _POLL_MS):
                self._allow(self.operation_ms, 0)
                client.check_msg()
            self._allow(self.operation_ms, 0)
            if message:
                # No names for its parts: they would hold a kilobyte until the next message.
                transport.awaited = message[2] and PUBACK
                topic = "holdfast/" + self._id + "/" + message[0]
                client.publish(topic, message[1], message[3], message[2])
            now = now_ms()
            if pinged:
                pinged = ticks.diff(transport.heard_ms, asked) < 0
                if pinged and ticks.diff(now, asked) > self.pong_ms:
                    raise OSError("silent")
            elif (
                ticks.diff(now, transport.said_ms) >= idle_ms
                or ticks.diff(now, transport.heard_ms) >= idle_ms
            ):
                client.ping()
                asked = now
                pinged = True
            transport.flush()
            if not stable and ticks.diff(now, began) >= STABLE_MS:
                stable = True
                self.backoff.stable()

    def _receive(self, topic, payload):
        """umqtt's callback."""
        if topic is None or payload is None:
            self.skipped += 1
            return
        message = (topic, payload)
        until = ticks.add(now_ms(), self.room_ms)
        while not self.down.put(message):
            if self.stopping or ticks.diff(until, now_ms()) <= 0:
                raise OSError("full")
            time.sleep_ms(_ROOM_STEP_MS)
