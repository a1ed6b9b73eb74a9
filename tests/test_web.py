"""The web server and the status contract, under both interpreters."""

import random
import socket

import pytest
from conftest import ROOT

from tools import page

# Bytes that one request may keep on the board interpreter, besides the status and its JSON
MOST_KEPT = {"page": 5376, "status": 4096, "body": 4608}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A folder with the firmware's sources and the page, which is built for each flash anew."""
    folder = tmp_path_factory.mktemp("tree")
    for source in (ROOT / "firmware").rglob("*"):
        place = folder / source.relative_to(ROOT)
        if source.is_file() and source.suffix != ".pyc":
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(source)
    for name, data in page.page_files().items():
        (folder / name).write_bytes(data)
    return folder


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_web_server(interpreter, tree):
    done = interpreter.run("web_check.py", free_port(), path=[tree])
    assert done.stdout.splitlines()[-1].startswith("ok")
    assert "Traceback" not in done.stderr, done.stderr
    print(interpreter.name, done.stdout)


def test_requests(interpreter, tree):
    """Cut, ended and malformed at every byte, and 10,000 made up; deadlines in a made-up clock."""
    seed = random.randrange(1 << 30)
    print("seed:", seed)
    done = interpreter.run("web_requests.py", seed, 10000, free_port(), path=[tree])
    assert done.stdout.splitlines()[-1].startswith("ok"), done.stdout
    # the two routes that fail on purpose, told on the console
    assert done.stderr.count("Traceback") + done.stdout.count("Traceback") == 2, done.stderr
    print(interpreter.name, done.stdout)


def test_memory_of_a_request(interpreter, tree):
    done = interpreter.run("web_memory.py", path=[tree])
    kept = {name: int(n) for name, n in map(str.split, done.stdout.splitlines())}
    print(interpreter.name, kept)
    assert kept.keys() == MOST_KEPT.keys()
    if interpreter.name == "board":
        assert all(kept[name] <= MOST_KEPT[name] for name in kept), kept
