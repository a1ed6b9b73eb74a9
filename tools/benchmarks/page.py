"""The weight of the charger's page, beside what other open chargers' makers say of theirs.

Theirs are files, compressed, as published; ours is measured on the wire, heads of the answers
included, and as files as well.
"""

from __future__ import annotations

import socket
import tempfile

from tools import page
from tools.benchmarks.charger import running
from tools.benchmarks.table import Row

# openevse_esp32_firmware, issue 1224: scripts, libraries, charts, English texts, style
OPENEVSE = 101008 + 55070 + 21993 + 12841 + 8435
# esp32-evse: the web files that its firmware has in it
ESP32_EVSE = 141824
_REQUEST = (
    "GET {} HTTP/1.1\r\nHost: 192.168.4.1\r\nAccept-Encoding: gzip, deflate\r\n"
    "Connection: keep-alive\r\n\r\n"
)


def _answer(port, path):
    """The bytes that come back for a request, its head included."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(_REQUEST.format(path).encode())
        data = b""
        while piece := connection.recv(65536):
            data += piece
    assert data.startswith(b"HTTP/1.1 200 "), data[:100]
    return len(data)


def measure():
    with tempfile.TemporaryDirectory() as folder, running("packaged", folder) as board:
        board.set_world(plugged=True, cable_a=32, car_state="C")
        board.wait_hardware(lambda h: h["contactor"] == "closed", 20, "the contactor")
        port = board.ports[80]
        first = _answer(port, "/")
        brief, whole = (_answer(port, path) for path in ("/api/status?brief", "/api/status"))
    files = [len(data) for data in page.page_files().values()]
    openevse, evse = "OpenEVSE, first visit", "esp32-evse, web files"
    return [
        Row(
            "answers of a first visit, with the first status",
            first + brief,
            "B",
            openevse,
            OPENEVSE,
        ),
        Row("answers of a first visit, with the first status", first + brief, "B", "limit", 20000),
        Row("all of the page, with what is behind the PIN", sum(files), "B", evse, ESP32_EVSE),
        Row("a later status", brief, "B", "limit", 1024),
        Row("a later status", brief, "B", "the whole status", whole),
    ]
