"""Flashing the virtual board through its serial port, by unmodified mpremote.

What is cut, refused or pulled out here must leave a board that is safe, says what it lacks, and
is mended by flashing again. Nothing here knows what the firmware does once it runs.
"""

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tty

import pytest

from tools import firmware_files
from tools.flash import device as flash_device
from tools.flash import port as serial_port
from tools.flash import steps as flash_steps
from tools.flash.errors import FlashError
from tools.flash.plan import MANIFEST, VERSION, check_device, make_plan
from tools.flash.steps import Options, asked_settings, boards, flash
from tools.virtual import image
from tools.virtual.process import STOCK_PARTITIONS, VirtualBoard, interpreter_version

ABOUT = {
    "version": [1, 25, 0],
    "mpy": 0x2306,
    "platform": "esp32",
    "nvs": True,
    "block_bytes": 4096,
    "free_bytes": 2_000_000,
}
RUNNING = "holdfast: running"
# What does not depend on the interpreter is tested under the one that is like the device.
ONCE = pytest.mark.parametrize("interpreter", ["board"], indirect=True)
# Files of the old firmware that differ from those of the new one, in the order of their copying.
OUTDATED = ("/boot.py", "/firmware/extra.html", "/firmware/web/errors.txt", "/main.py")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def powered(interpreter, path, **more):
    with VirtualBoard(interpreter.name, path, ports={80: free_port()}, **more) as board:
        board.power_on()
        yield board


def run_flash(charger, say=None, /, **options):
    """Flash in this process; what it said."""
    said = []

    def tell(text):
        said.append(text)
        if say:
            say(text)

    flash(Options(charger.serial_path, **options), tell)
    return said


def copied(said):
    return [m.group(1) for text in said if (m := re.match(r"\d+/\d+ (\S+) ", text))]


def with_more(files, **changed):
    """A `firmware_files` that gives `files` and what is changed about them."""
    return lambda version=(1, 25): {**files(version), **changed}


def command_line(*arguments):
    return [sys.executable, "-m", "tools.flash", *arguments]


def test_first_flash_runs_from_flash_and_second_copies_nothing(interpreter, tmp_path, monkeypatch):
    with powered(interpreter, tmp_path / "flash") as board:
        said = run_flash(board, charger_id="box-7", board="smartevse_v3")
        everything = firmware_files.firmware_files(interpreter_version(interpreter.name)[0])
        assert sorted(copied(said)) == sorted("/" + name for name in everything)
        assert copied(said)[0] == "/boot.py"
        assert copied(said)[-1] == "/main.py"
        assert said[-1].startswith("running id=box-7 version=")
        assert "board=smartevse_v3" in said[-1]
        pins = [text for text in said if text.startswith("PIN")]
        assert len(pins) == 1
        assert re.search(r": \d{6}$", pins[0])

        board.power_off()
        before = board.serial_position
        board.power_on()
        board.wait_serial(RUNNING + " id=box-7", 20, since=before)

        said = run_flash(board)
        assert copied(said) == []
        assert any("nothing to copy" in text for text in said)
        assert not any("PIN" in text for text in said)
        assert said[-1].startswith("running id=box-7")

        page = everything["firmware/web/errors.txt"] + b"New This is new.\n"
        monkeypatch.setattr(
            firmware_files,
            "firmware_files",
            with_more(firmware_files.firmware_files, **{"firmware/web/errors.txt": page}),
        )
        said = run_flash(board, board="esp32_devkit")
        assert copied(said) == ["/firmware/web/errors.txt"]
        assert "board=esp32_devkit" in said[-1]
        assert "id=box-7" in said[-1]


@pytest.fixture
def outdated(interpreter, tmp_path, monkeypatch):
    """A flash file with a complete older firmware, of which four files differ from the tools'."""
    extra = {"firmware/extra.html": b"<p>new</p>" * 300}
    monkeypatch.setattr(
        firmware_files, "firmware_files", with_more(firmware_files.firmware_files, **extra)
    )
    files = dict(firmware_files.firmware_files(interpreter_version(interpreter.name)[0]))
    for name in ("boot.py", "main.py"):
        files[name] += b"# older\n"
    files["firmware/web/errors.txt"] += b"Old This is old.\n"
    del files["firmware/extra.html"]
    files["firmware/gone.html"] = b"only the older firmware has this"
    record = firmware_files.manifest(files, "0.1.0")
    files["firmware/manifest.json"] = files["firmware/version.json"] = record
    files["lib/not_ours.mpy"] = b"of another origin"
    files["lib/umqtt/simple.py"] = b"raise SystemExit('hides the firmware's own')"
    files["notes.txt"] = b"mine"
    return image.build_image(
        tmp_path / "flash", interpreter.name, files, {"board": "smartevse_v3", "pin": "4711"}
    )


class Cut(Exception):
    """The power was cut; whoever flashed sees a silent device."""


# What is said when the cut is armed, and how many bytes the board prints until the power goes.
@pytest.mark.parametrize(
    ("interpreter", "armed_by", "printed"),
    [
        ("board", "in maintenance", 0),
        ("board", "1/4 /boot.py", 20),
        ("packaged", "2/4 ", 0),
        ("board", "3/4 ", 60),
        ("packaged", "4/4 /main.py", 0),
        ("board", "all verified", 0),
    ],
    indirect=["interpreter"],
)
def test_power_cut_while_flashing(interpreter, outdated, armed_by, printed):
    with powered(interpreter, outdated) as board:
        board.wait_serial(RUNNING, 20)

        def cut(text):
            if armed_by in text:
                until = board.serial_position + printed
                deadline = time.monotonic() + 5
                while board.serial_position < until and time.monotonic() < deadline:
                    time.sleep(0.001)
                board.power_off()
                raise Cut

        said = []
        with pytest.raises(Cut):
            run_flash(board, lambda text: (said.append(text), cut(text)))
        done = copied(said)

        before = board.serial_position
        board.power_on()
        board.wait_serial("; outputs safe", 10, since=before)
        board.wait_serial(">>> ", 10, since=before)
        line = re.findall(rb"holdfast: (.*); outputs safe", board.serial_log)[-1].decode()
        if not done:
            assert line == "maintenance"
        else:
            assert line.startswith("half-flashed, missing: ")
            for path in set(OUTDATED) - set(done):
                assert path[1:] in line, f"{path} is missing, and it says: {line}"
            for path in done[:-1]:
                assert path[1:] not in line
        assert board.hardware()["contactor"] == "open"
        assert board.probe("result = main.START") is False

        said = run_flash(board)
        assert said[-1].startswith("running ")
        board.power_off()
        before = board.serial_position
        board.power_on()
        board.wait_serial(RUNNING, 20, since=before)


@ONCE
def test_only_what_is_ours_is_removed(interpreter, outdated):
    with powered(interpreter, outdated) as board:
        board.wait_serial(RUNNING, 20)
        said = run_flash(board)
        assert copied(said) == list(OUTDATED)
        assert sorted(text for text in said if text.startswith("removing ")) == [
            "removing /firmware/gone.html",
            "removing /lib/umqtt/simple.py",
        ]
        there = board.probe("import os; result = os.listdir('/') + os.listdir('/lib')")
        assert "notes.txt" in there
        assert "not_ours.mpy" in there
        assert not any("PIN" in text for text in said)


@pytest.fixture
def charger(interpreter, tmp_path):
    return image.build_charger(tmp_path / "flash", interpreter.name, {"board": "smartevse_v3"})


@ONCE
def test_refuses_while_charging_unless_forced(interpreter, charger):
    with powered(interpreter, charger) as board:
        board.wait_serial(RUNNING, 20)
        board.set_world(plugged=True, car_state="C", cable_a=32)
        board.wait_hardware(lambda now: now["contactor"] == "closed", 20, "the car to charge")
        with pytest.raises(FlashError, match=r"is charging a car: .*FORCE=1"):
            run_flash(board)
        assert board.hardware()["contactor"] == "closed"
        assert board.resets == ["power"]
        said = run_flash(board, force=True)
        assert any("nothing to copy" in text for text in said)
        assert said[-1].startswith("running ")


@ONCE
def test_interrupted_by_ctrl_c(interpreter, tmp_path):
    with powered(interpreter, tmp_path / "flash") as board:
        process = subprocess.Popen(
            command_line(board.serial_path, "--board", "smartevse_v3"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a job in the background of a script is born deaf to Ctrl-C
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        for line in process.stdout:
            if "3/" in line:
                process.send_signal(signal.SIGINT)
                break
        _, error = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "interrupted" in error
        assert "flash again" in error
        assert "Traceback" not in error
        said = run_flash(board, board="smartevse_v3")
        assert "/boot.py" not in copied(said)
        assert said[-1].startswith("running ")


@ONCE
def test_board_that_is_not_chosen(interpreter, tmp_path):
    path = image.build_charger(tmp_path / "flash", interpreter.name)
    sentence = r"No board is chosen.*esp32_devkit, smartevse_v3"
    with powered(interpreter, path) as board, pytest.raises(FlashError, match=sentence):
        run_flash(board)


@ONCE
def test_too_old_micropython_is_left_as_it_was(interpreter, charger, monkeypatch):
    run = flash_device.Device.run

    def answer(self, *steps, **more):
        told = run(self, *steps, **more)
        if steps[0].name == "describe":
            told[0]["version"] = [1, 22, 2]
        return told

    monkeypatch.setattr(flash_device.Device, "run", answer)
    with powered(interpreter, charger) as board:
        board.wait_serial(RUNNING, 20)
        before = board.serial_position
        with pytest.raises(FlashError, match=r"1\.22\.2 .*too old.*nothing was changed"):
            run_flash(board)
        board.wait_serial(RUNNING, 20, since=before)


@ONCE
def test_full_filesystem_is_told_before_anything_is_touched(interpreter, tmp_path):
    small = [*STOCK_PARTITIONS[:-1], (*STOCK_PARTITIONS[-1][:3], 0x20000, "vfs", False)]
    with powered(interpreter, tmp_path / "flash", partitions=small) as board:
        with pytest.raises(FlashError, match=r"bytes free and this needs .*nothing was changed"):
            run_flash(board, board="smartevse_v3")
        board.wait_serial(">>> ", 10)
        assert board.probe("import os; result = os.listdir('/')") in ([], ["boot.py"])


@contextlib.contextmanager
def terminal(answer=lambda data: b""):
    """A pseudo-terminal where `answer` says what comes back for what was typed."""
    master, slave = pty.openpty()
    tty.setraw(slave)

    def serve():
        with contextlib.suppress(OSError):
            while data := os.read(master, 1000):
                os.write(master, answer(data))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        os.close(slave)
        os.close(master)


def test_port_where_nobody_answers(monkeypatch):
    monkeypatch.setattr(flash_steps, "FIRST_ANSWER_S", 2)
    with terminal() as path, pytest.raises(FlashError, match="answers like MicroPython"):
        flash(Options(path), print)


def test_port_that_is_in_use():
    sentence = "is in use by another program"
    with terminal() as path, serial_port.opened(path), pytest.raises(FlashError, match=sentence):
        flash(Options(path), print)


def test_aiorepl_is_asked_at_its_prompt():
    typed = bytearray()

    def aiorepl(data):
        typed.extend(data)
        if data == b"\x05":
            return b"paste mode; Ctrl-C to cancel, Ctrl-D to finish\r\n===\r\n"
        if data == b"\x03":
            return b"holdfast> "
        status = b'holdfast: status {"id": "box", "state": "Charging", "contactor": true}'
        return data + b"\r\n'" + status + b"'\r\nholdfast> "

    with terminal(aiorepl) as path, pytest.raises(FlashError, match="box is charging"):
        flash(Options(path), print)
    assert typed.startswith(b"\x05\x03__import__(")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 2, "no port was given"),
        (["/dev/not-there"], 1, "there is no port /dev/not-there"),
        ([__file__], 1, "is no serial port"),
        (
            ["/dev/null", "--board", "toaster"],
            1,
            'no board "toaster"; .*esp32_devkit, smartevse_v3',
        ),
        (["/dev/null", "--id", "a/b"], 1, "ID may hold letters"),
        (["/dev/null", "--id", "x" * 33], 1, "ID must have at most 32"),
    ],
)
def test_command_line_fails_with_a_sentence(arguments, code, sentence):
    done = subprocess.run(command_line(*arguments), capture_output=True, text=True, timeout=30)
    assert done.returncode == code
    assert re.search(sentence, done.stderr)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_devices_that_will_not_do():
    assert check_device(ABOUT) == (1, 25)
    for change, sentence in (
        ({"version": [1, 23, 0]}, r"1\.23\.0 .*too old"),
        ({"mpy": 0x0206}, r"bytecode 6\.2"),
        ({"mpy": 0}, "no compiled files"),
        ({"nvs": False}, "runs on the ESP32"),
    ):
        with pytest.raises(FlashError, match=sentence):
            check_device({**ABOUT, **change})


def test_plan():
    wanted = {"/main.py": b"main", "/firmware/a.mpy": b"a" * 5000, "/boot.py": b"boot"}
    plan = make_plan(wanted, b"marks", [], ABOUT)
    assert plan.copy == ["/boot.py", "/firmware/a.mpy", "/main.py"]
    assert plan.directories == ["/firmware"]
    assert not plan.complete

    survey = [
        {"path": path, "size": len(data), "sha256": __import__("hashlib").sha256(data).hexdigest()}
        for path, data in {**wanted, MANIFEST: b"marks", VERSION: b"marks"}.items()
    ]
    assert make_plan(wanted, b"marks", survey, ABOUT).complete
    assert not make_plan(wanted, b"marks", survey[:-1], ABOUT).complete

    with pytest.raises(FlashError, match="40,960 bytes free"):
        make_plan(wanted, b"marks", [], {**ABOUT, "free_bytes": 40_960})
    make_plan(wanted, b"marks", survey, {**ABOUT, "free_bytes": 0})


def test_asked_settings_go_through_the_firmwares_own_check():
    assert asked_settings(Options("")) == {}
    for name in boards():
        assert asked_settings(Options("", "box", name)) == {"charger_id": "box", "board": name}
