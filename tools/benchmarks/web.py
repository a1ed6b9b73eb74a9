"""The page's server under load and attack: heap, answers and tick on the board interpreter.

The heap is that of a charger with everything that it can have: card reader, schedule, both
WiFi networks, and the cloud (without TLS: the interpreter has none, and a chip's TLS takes its
memory beside this heap). The ticks are those of a charger whose car is charging.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import select
import socket
import statistics
import tempfile
import time
from unittest import mock

from tools.bench.broker import Broker
from tools.benchmarks import uplink
from tools.benchmarks.charger import Load, ask, free_port, running
from tools.benchmarks.memory import HEAP, LIVE
from tools.benchmarks.table import Row
from tools.virtual import fitted, heap_worst, image, process
from tools.virtual.process import VirtualBoard, VirtualBoardError

TICK_MS = 20  # the design's longest
POLL_S = 2  # of a phone, as page/page.js asks
PHONES = 2
BUSY_S = 30
SESSIONS = 1000
SLOW = 20  # connections of the slow-loris
FLOOD_PER_S = 100
_GRANT = 200  # records
_GRANT_S = 1
_PATIENCE_S = 2  # of who floods, for one answer
_INSTALLER_S = 1.5
_SPAN_S = 4
_SPANS = 5
_PIN = "24681357"
SETTINGS = {
    **uplink.SETTINGS,
    "pin": _PIN,
    "ap_password": "abcdefgh2345",
    "console": False,
}
EVERYTHING = {
    "offline_policy": "known_key+schedule",
    "schedule": "Mo-Fr 22:00-06:00; Sa,Su 00:00-24:00",
    "timezone": "CET-1CEST,M3.5.0,M10.5.0/3",
}
_SESSION = """
append = charger.recorder.append
for n in range({}, {}):
    key = bytes((4, 1, n >> 8, n & 255))
    append("session_start", n, n * 100, "Key", key)
    append("session_end", n, n * 100 + 99, 99 + n, 1200, False, "EVDisconnected")
result = 0
"""


class _Phones(Load):
    """What people do at the page while a block runs: statuses, and one list of sessions.

    With `installer` one of them changes a setting and reads settings and keys as well, without end.
    """

    def __init__(self, board, installer):
        works = [self._poll] * PHONES + [self._download] + [self._install] * installer
        super().__init__(*works)
        self._port = board.ports[80]
        self.cookie = ""
        self.answers: list[int] = []  # to the questions for the status
        self.tables: list[int] = []  # lines of each list that was asked for
        self.changes: list[bool] = []  # whether changes of a setting were taken
        self.read: list[bool] = []  # whether settings and keys came whole

    def ask(self, method, path, body=None):
        """Status, cookie and body of an answer; a status of 0 for none."""
        headers = {"Content-Type": "application/json"} if body else {}
        if self.cookie:
            headers["Cookie"] = self.cookie
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Set-Cookie", ""), answer.read()
        except (OSError, http.client.HTTPException):
            return 0, "", b""
        finally:
            connection.close()

    def look(self, name):
        """A member of the whole status."""
        return json.loads(self.ask("GET", "/api/status")[2])[name]

    def __enter__(self):
        status, cookie, _ = self.ask("POST", "/api/login", {"pin": _PIN})
        assert status == 200, status
        self.cookie = cookie.partition(";")[0]
        return super().__enter__()

    def _poll(self):
        while not self.stop.wait(POLL_S):
            self.answers.append(self.ask("GET", "/api/status?brief")[0])

    def _download(self):
        while not self.stop.is_set():
            body = self.ask("GET", "/api/sessions?format=csv")[2]
            self.tables.append(body.count(b"\r\n") - 1)
            self.stop.wait(POLL_S)

    def _install(self):
        while not self.stop.wait(_INSTALLER_S):
            value = 20 + len(self.changes)
            change = {"wake_after_s": value}
            taken = self.ask("PUT", "/api/settings", change)[0] == 200
            for path in ("/api/settings", "/api/keys"):
                status, _, body = self.ask("GET", path)
                whole = status == 200 and body.endswith(b"]}")
                self.read.append(whole)
                if whole and path == "/api/settings":
                    rows = json.loads(body)["settings"]
                    shown = {row["name"]: row.get("value") for row in rows}
                    taken = taken and shown["wake_after_s"] == value
            self.changes.append(taken)


def measure_heap(everything=False):
    """Two phones at the page, one of them with lists of sessions, and a backlog going up.

    `everything`: with card reader, keys and schedule as well, and an installer at work.
    """
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as kept:
        folder = pathlib.Path(name)
        port = free_port()
        broker = Broker(port, folder)
        kept.callback(broker.close)
        cloud = uplink.Cloud(port)
        kept.callback(cloud.close)
        # Boards tell how much they have in use when somebody wants to know the worst.
        kept.enter_context(mock.patch.dict(os.environ, {heap_worst.VARIABLE: str(folder / "heap")}))
        source, wiring = fitted.fit_reader("smartevse_v3")
        settings = SETTINGS | EVERYTHING if everything else SETTINGS
        boards = {"smartevse_v3": source} if everything else None
        flash = image.build_charger(folder / "flash", "board", settings, boards=boards)
        hosts = {"cloud.bench": ("127.0.0.1", port), "hint.bench": ("127.0.0.1", 0)}
        board = VirtualBoard(
            "board",
            flash,
            wiring if everything else "smartevse_v3",
            ports={80: free_port()},
            hosts=hosts,
            state={"wifi": False},
        )
        kept.callback(board.close)
        return _heap(board, cloud, folder / "heap", everything)


def _heap(board, cloud, notes, everything):
    board.power_on()
    board.wait_serial("holdfast: running", 30)
    for first in range(0, SESSIONS, 50):
        ask(board, _SESSION.format(first, first + 50))
    board.power_off()
    for note in notes.glob("*"):
        note.unlink()
    place = board.serial_position
    board.set_world(wifi=True, plugged=True, cable_a=32, car_state="C", ap_clients=PHONES)
    board.power_on()
    board.wait_serial("holdfast: running", 30, place)
    phones = _Phones(board, everything)
    uplink.wait(lambda: phones.look("cloud")["state"] == "connected", 60)
    cloud.beat()
    uplink.wait(lambda: phones.look("online"), 30)
    board.wait_hardware(lambda h: h["contactor"] == "closed", 30, "the contactor")
    rest = board.probe(LIVE) - process.own_heap("board", board.board)
    began = len(cloud.seen)
    with phones:
        deadline = time.monotonic() + BUSY_S
        while time.monotonic() < deadline:
            cloud.beat()
            cloud.say("bench/grant", records=_GRANT)
            time.sleep(_GRANT_S)
    assert board.hardware()["contactor"] == "closed" and board.stderr == "", board.stderr
    sent = len(cloud.seen) - began
    worst = max(json.loads(note.read_text())["used"] for note in notes.glob("*"))
    good, tries = phones.answers.count(200), len(phones.answers)
    lists = phones.tables
    assert good and sent and lists, "it was not busy"
    rows = [
        Row("heap in use, connected, a car charging", rest, "B", "heap budget", HEAP),
        Row("worst with two phones, a CSV and the uplink busy", worst, "B", "heap budget", HEAP),
        Row("statuses answered at the first try", good, "", "asked for", tries),
        Row(
            f"lists of {SESSIONS:,} sessions that came whole",
            sum(lines >= SESSIONS for lines in lists),
            "",
            "asked for",
            len(lists),
        ),
        Row("records that went up meanwhile", sent, "", "waited", 2 * SESSIONS),
    ]
    if everything:
        taken, made = sum(phones.changes), len(phones.changes)
        whole, asked = sum(phones.read), len(phones.read)
        rows.append(Row("changes of a setting taken at the first try", taken, "", "made", made))
        rows.append(Row("settings and keys that came whole", whole, "", "asked for", asked))
    return rows


class _Attack(Load):
    """What somebody does to the charger at `port`."""

    def __init__(self, port):
        super().__init__(self._run)
        self._place = ("127.0.0.1", port)

    def _run(self):
        raise NotImplementedError


class _Loris(_Attack):
    """Connections that never get to the end of a request, and come back when they are dropped."""

    dropped = 0

    def _connect(self):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(self._place)
        return connection

    def _run(self):
        all_of_them = [self._connect() for _ in range(SLOW)]
        begun = set()
        while not self.stop.wait(0.05):
            ready = select.select([], all_of_them, [], 0)[1]
            for connection in ready:
                try:
                    connection.send(b"y" if connection in begun else b"GET / HTTP/1.1\r\nX: ")
                    begun.add(connection)
                except OSError:
                    self.dropped += 1
                    connection.close()
                    begun.discard(connection)
                    all_of_them[all_of_them.index(connection)] = self._connect()
        for connection in all_of_them:
            connection.close()


class _Flood(_Attack):
    """A hundred whole requests a second, whatever becomes of them."""

    sent = answered = 0

    def _run(self):
        began = {}  # of each connection that is open, in the order in which they were made
        asked = set()
        due = time.monotonic()
        while not self.stop.wait(max(0, due - time.monotonic())):
            due += 1 / FLOOD_PER_S
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(self._place)
            began[connection] = time.monotonic()
            readable, writable, _ = select.select(began, began.keys() - asked, [], 0)
            for one in writable:
                asked.add(one)
                with contextlib.suppress(OSError):
                    one.send(b"GET /api/status?brief HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                    self.sent += 1
            over = [one for one in began if began[one] < due - _PATIENCE_S]
            for one in readable:
                data = b""
                with contextlib.suppress(OSError):
                    data = one.recv(4096)
                self.answered += data.startswith(b"HTTP/1.1 200")
                if not data:
                    over.append(one)
            for one in set(over):
                one.close()
                del began[one]
                asked.discard(one)
        for one in began:
            one.close()


def measure_attacks():
    """The longest time between two ticks, left alone and attacked."""
    with tempfile.TemporaryDirectory() as folder, running("board", folder) as board:
        board.set_world(plugged=True, cable_a=32, car_state="C")
        board.wait_hardware(lambda h: h["contactor"] == "closed", 20, "the contactor")
        idle_ms = _gap_ms(board)
        with _Loris(board.ports[80]) as loris:
            uplink.wait(lambda: loris.dropped >= SLOW, 30)
            slow_ms = _gap_ms(board)
        with _Flood(board.ports[80]) as flood:
            uplink.wait(lambda: flood.answered, 30)
            flood_ms = _gap_ms(board)
        assert board.hardware()["contactor"] == "closed"
    slow = f"a slow-loris of {SLOW} connections"
    fast = f"{FLOOD_PER_S} requests a second"
    return [
        Row("longest tick gap, left alone", idle_ms, "ms", "tick", TICK_MS),
        Row(f"longest tick gap under {slow}", slow_ms, "ms", "left alone", idle_ms),
        Row(f"longest tick gap under {fast}", flood_ms, "ms", "left alone", idle_ms),
        Row(f"{slow} add", max(0, slow_ms - idle_ms), "ms", "tick", TICK_MS),
        Row(f"{fast} add", max(0, flood_ms - idle_ms), "ms", "tick", TICK_MS),
        Row(f"of {fast} answered", flood.answered, "", "sent", flood.sent),
    ]


def _gap_ms(board):
    """Of some spans the median: one alone shows what else this machine does."""
    found = []
    _take_gap_ms(board)
    for _ in range(_SPANS):
        time.sleep(_SPAN_S)
        found.append(_take_gap_ms(board))
    return statistics.median(found)


def _take_gap_ms(board):
    """The longest gap since the last time; asked again while the flood has the memory for it."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return ask(board, "result = charger.take_longest_gap_ms()")
        except VirtualBoardError as e:
            if "MemoryError" not in str(e) or time.monotonic() > deadline:
                raise
