"""The wall clock from a time server of the test's own, under both interpreters."""

import shutil
import socket
import struct
import threading

from conftest import ROOT

_1900_TO_1970_S = 2208988800


def test_wraps_and_epochs(interpreter):
    interpreter.run("clock_check.py")


def test_time_server(interpreter, tmp_path):
    asked = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer():
            for unix_s in (1000000000, 1795411320, 1795411320):
                try:
                    request, peer = server.recvfrom(100)
                except OSError:
                    return
                asked.append(request)
                reply = bytearray(48)
                reply[40:44] = struct.pack(">I", unix_s + _1900_TO_1970_S)
                server.sendto(reply, peer)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        shutil.copy(ROOT / "tools" / "virtual" / "board" / "ntptime.py", tmp_path)
        interpreter.run("ntp_check.py", server.getsockname()[1], path=[tmp_path])
    # one bad answer, one good one, and then hours of silence
    assert len(asked) == 2 and all(len(r) == 48 and r[0] & 7 == 3 for r in asked), asked
