"""The web server and the status contract, under both interpreters."""

import socket


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_web_server(interpreter):
    done = interpreter.run("web_check.py", free_port())
    assert done.stdout.splitlines()[-1].startswith("ok")
    assert "Traceback" not in done.stderr, done.stderr
    print(interpreter.name, "longest gap of a 16 ms tick:", done.stdout.split()[-1], "ms")
