"""The virtual board: its physics, its flash chip, its serial port, and its power switch."""

import hashlib
import os
import pathlib
import re
import select
import socket
import subprocess
import sys
import threading
import time

import pytest

from tools.virtual import image
from tools.virtual.process import (
    FAKES,
    ROOT,
    WORLD,
    VirtualBoard,
    VirtualBoardError,
)

MPREMOTE = [sys.executable, "-m", "mpremote", "connect"]


def test_process_and_board_know_the_same_world():
    in_board = set(re.findall(r'^    "(\w+)",$', (FAKES / "world.py").read_text(), re.M))
    assert in_board - {"energy_wh", "energy_rest_mwh"} == set(WORLD) - {"energy_mwh"}


def test_physics(interpreter):
    interpreter.run("virtual_world.py", path=[FAKES])


def test_flash_chip(interpreter, tmp_path):
    flash = tmp_path / "flash"
    flash.write_bytes(b"\xff" * (1 << 20))
    interpreter.run("virtual_flash.py", flash, path=[FAKES])


@pytest.fixture
def start(interpreter, tmp_path):
    """Start a board with these files on its flash; powered off at the end."""
    boards: list[VirtualBoard] = []

    def start(files=None, **settings):
        flash = tmp_path / f"flash{len(boards)}"
        if files is not None:
            image.build_image(
                flash, interpreter.name, {name: text.encode() for name, text in files.items()}
            )
        board = VirtualBoard(interpreter.name, flash, **settings)
        boards.append(board)
        board.power_on()
        return board

    yield start
    for board in boards:
        said = board.stderr
        board.close()
        assert said == ""


def mpremote(board, *arguments, code=0):
    """Unmodified mpremote as a person would call it; its output."""
    done = subprocess.run(
        [*MPREMOTE, board.serial_path, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


PROMPT = ">>> "


def printed(board, place=0):
    """What the board printed since it had printed `place` bytes."""
    return board.serial_log[place:].decode()


def test_blank_board_formats_itself_and_looks_like_a_device(start):
    board = start()
    board.wait_serial(PROMPT, 10)
    assert board.probe("import sys, os; result = [sys.path, os.getcwd(), os.listdir('/')]") == [
        ["", ".frozen", "/lib"],
        "/",
        ["boot.py"],
    ]
    assert board.probe("import machine; result = machine.reset_cause()") == 1
    assert board.hardware()["powered"]


@pytest.mark.parametrize("interpreter", ["board"], indirect=True)  # words as wide as the device's
def test_firmware_gets_its_heap_and_no_more(start, interpreter):
    board = start(heap="110K")
    board.wait_serial(PROMPT, 10)
    free = board.probe("import gc; gc.collect(); result = gc.mem_free()")
    # the table of names that the firmware is to fill is there already: 9 KB of its 110
    assert 94 << 10 <= free <= 102 << 10


def test_mpremote(start, tmp_path):
    board = start()
    board.wait_serial(PROMPT, 10)
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "first.py").write_text("NUMBER = 41\n" + "# é\n" * 500)
    (tree / "deep" / "er" / "bytes.bin").write_bytes(bytes(range(256)) * 8)

    said = mpremote(board, "exec", "import sys; print('path', sys.path)")
    assert "path ['', '.frozen', '/lib']" in said
    said = mpremote(board, "exec", "def f():\n    return 1 // 0\nf()", code=1)
    assert said.splitlines()[:1] == ["Traceback (most recent call last):"]
    assert "ZeroDivisionError" in said and "rom/" not in said

    said = mpremote(board, "fs", "cp", "-r", tree, ":", "+", "fs", "ls", ":tree/deep/er")
    assert "2048 bytes.bin" in said
    said = mpremote(
        board, "fs", "sha256sum", ":tree/deep/er/bytes.bin", "+", "fs", "ls", ":no", code=1
    )
    assert hashlib.sha256(bytes(range(256)) * 8).hexdigest() in said
    assert "No such file" in said
    copy = tmp_path / "copy.bin"
    mpremote(
        board,
        "cp",
        ":tree/deep/er/bytes.bin",
        copy,
        "+",
        "mkdir",
        ":empty",
        "+",
        "rm",
        "-r",
        ":tree",
    )
    assert copy.read_bytes() == bytes(range(256)) * 8
    assert board.probe("import os; result = sorted(os.listdir('/'))") == ["boot.py", "empty"]

    package = tmp_path / "package"
    (package / "thing").mkdir(parents=True)
    (package / "thing" / "__init__.py").write_text("VALUE = 7\n")
    (package / "package.json").write_text(
        '{"urls": [["thing/__init__.py", "thing/__init__.py"]], "version": "1"}'
    )
    mpremote(board, "mip", "install", package / "package.json")
    assert "it is 7" in mpremote(board, "exec", "import thing; print('it is', thing.VALUE)")

    script = tmp_path / "script.py"
    script.write_text("print('ran', 6 * 7)\n")
    assert "ran 42" in mpremote(board, "resume", "run", script)


def test_mpremote_repl(start):
    """A person at mpremote's terminal: keys go there, answers come back, Ctrl-] leaves."""
    board = start()
    board.wait_serial(PROMPT, 10)
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [*MPREMOTE, board.serial_path, "repl"], stdin=theirs, stdout=theirs, stderr=theirs
    ) as person:
        os.close(theirs)
        seen = b""

        def read_until(wanted):
            nonlocal seen
            deadline = time.monotonic() + 10
            while wanted not in seen:
                assert time.monotonic() < deadline, seen
                if select.select([ours], [], [], 0.1)[0]:
                    seen += os.read(ours, 1000)

        read_until(b"Ctrl-]")
        os.write(ours, b"6 * 7\r")
        read_until(b"\r\n42\r\n>>> ")
        os.write(ours, b"\x1d")
        assert person.wait(10) == 0
    os.close(ours)


def test_mpremote_resets(start):
    board = start({"main.py": "import machine\nprint('cause', machine.reset_cause())\n"})
    board.wait_serial("cause 1\r\n", 10)
    place = board.serial_position
    mpremote(board, "reset")
    board.wait_serial("cause 2\r\n", 10, place)
    place = board.serial_position
    mpremote(board, "soft-reset")
    # A soft reset from the raw REPL runs boot.py only, as on a device.
    end = board.wait_serial("MicroPython v", 10, board.wait_serial("soft reboot", 10, place))
    assert "cause" not in printed(board, place)[: end - place]
    place = board.serial_position
    board.type("\x04")
    board.wait_serial("cause 5\r\n", 10, place)
    # mpremote enters the raw REPL with a soft reset of its own.
    assert board.resets == ["power", "soft", "hard", "soft", "soft"]


def test_prompt(start):
    board = start()
    board.wait_serial(PROMPT, 10)

    def typed(text, answer):
        place = board.serial_position
        board.type(text)
        board.wait_serial(answer, 10, place)
        board.wait_serial(PROMPT, 10, place)

    typed("1 + 2\r", "\r\n3\r\n")
    typed("for i in range(3):\r  print('n', i)\r\r", "n 2\r\n")
    typed("x = (1,\r2)\r", "... 2)\r\n")
    typed("x\r", "\r\n(1, 2)\r\n")
    typed("printt\x08('b')\r", "\r\nb\r\n")
    typed("nonsense\r", "NameError")
    typed("\x05a = 1\rif a:\r  print('pasted')\r\x04", "\r\npasted\r\n")
    typed("abandoned\x03", "abandoned\r\n")


@pytest.mark.parametrize(
    "program",
    [
        "import time\nwhile True:\n    time.sleep(10)",
        "import asyncio\nasync def f():\n    while True:\n        await asyncio.sleep_ms(20)\n"
        "asyncio.run(f())",
        "while True:\n    pass",
    ],
    ids=["sleep", "asyncio", "busy"],
)
def test_ctrl_c_stops_a_program(start, program):
    board = start({"main.py": "print('started')\n" + program})
    place = board.wait_serial("started", 10)
    board.type("\x03")
    board.wait_serial("KeyboardInterrupt", 10, place)
    board.wait_serial(PROMPT, 10, place)
    place = board.serial_position
    board.type("3 * 7\r")
    board.wait_serial("21\r\n", 10, place)


def test_terminal_forgets_what_nobody_read(start):
    board = start({"main.py": "print('early words')\n"})
    board.wait_serial(PROMPT, 10)
    fd = os.open(board.serial_path, os.O_RDWR | os.O_NOCTTY)
    try:
        seen = b""
        deadline = time.monotonic() + 10
        while b"still here" not in seen and time.monotonic() < deadline:
            os.write(fd, b"\x03print('still', 'here')\r")
            while select.select([fd], [], [], 0.2)[0]:
                seen += os.read(fd, 1000)
        assert b"still here" in seen
        assert b"early" not in seen
    finally:
        os.close(fd)


PINS = """
import machine, time
print('cause', machine.reset_cause())
if machine.reset_cause() == 1:
    coil = machine.Pin(32, machine.Pin.OUT, value=1)
    pilot = machine.PWM(machine.Pin(19), freq=1000, duty_u16=17476)
"""


def test_soft_reset_keeps_pins_and_stops_pwm_hard_reset_lets_go(start):
    board = start({"main.py": PINS})
    board.set_world(plugged=True, car_state="C")
    board.wait_serial("cause 1", 10)
    now = board.wait_hardware(lambda h: h["contactor"] == "closed", 10)
    assert (now["duty_permille"], now["pilot_low_mv"]) == (267, -12000)
    board.type("\x04")
    board.wait_serial("cause 5", 10)
    now = board.wait_hardware(lambda h: h["duty_permille"] == 0, 10)
    assert now["contactor"] == "closed" and now["outputs"][32] == 1
    board.type("import machine; machine.reset()\r")
    board.wait_serial("cause 2", 10)
    now = board.wait_hardware(lambda h: h["contactor"] == "open", 10)
    assert 32 not in now["outputs"]


def test_watchdog(start):
    board = start(
        {
            "main.py": "import machine, time\nprint('cause', machine.reset_cause())\n"
            "machine.Pin(32, machine.Pin.OUT, value=1)\n"
            "w = machine.WDT(timeout=400)\n"
            "for i in range(6):\n    time.sleep_ms(100)\n    w.feed()\nprint('hungry')\n"
            "while machine.reset_cause() == 1:\n    pass\n"
        }
    )
    began = time.monotonic()
    board.wait_serial("hungry", 10)
    assert board.resets == ["power"]
    place = board.serial_position
    board.wait_serial("cause 3", 10, place)
    assert board.resets == ["power", "wdt"]
    assert time.monotonic() - began > 0.9


def test_power_cut_keeps_flash_and_world(start):
    program = (
        "import machine\nmachine.Pin(17, machine.Pin.OUT, value=0)\n"
        "machine.Pin(18, machine.Pin.OUT, value=1)\nmachine.Pin(32, machine.Pin.OUT, value=1)\n"
        "machine.Pin(27, machine.Pin.OUT, value=1)\n"
        "p = machine.PWM(machine.Pin(19), freq=1000, duty_u16=17476)\n"
        "n = 0\nwhile True:\n    n += 1\n"
        "    with open('count', 'w') as f:\n        f.write(str(n))\n"
        "    print('wrote', n)\n"
    )
    board = start({"main.py": program})
    board.set_world(plugged=True, cable_a=20, car_state="C", phases=3, energy_mwh=5_000_400)
    board.wait_hardware(lambda h: h["lock"] == "locked" and h["current_ma"] > 5000, 10)
    board.wait_hardware(lambda h: h["energy_wh"] >= 5000, 10)
    board.wait_serial("wrote 3\r\n", 10)
    board.power_off()
    flash = board.flash_path.read_bytes()
    now = board.hardware()
    assert not now["powered"] and now["contactor"] == "open" and now["lock"] == "locked"
    assert now["pilot_high_mv"] == 0 and now["outputs"] == {}
    energy = board.world["energy_mwh"]
    assert energy > 5_000_400
    with pytest.raises(VirtualBoardError, match="lock holds"):
        board.set_world(plugged=False)
    with pytest.raises(VirtualBoardError, match="no power"):
        board.probe("result = 1")
    board.set_world(car_state="B")
    said = printed(board)
    written = int(said.split("wrote ")[-1].split("\r")[0])
    assert board.flash_path.read_bytes() == flash

    board.type("typed while off")
    board.power_on()
    board.wait_hardware(lambda h: "outputs" in h and h["outputs"].get(32) == 1, 10)
    assert board.world["cable_a"] == 20 and board.world["car_state"] == "B"
    assert board.world["energy_mwh"] >= energy
    count = int(board.probe("result = open('/count').read()") or 0)
    assert count >= 1 or written >= 1


def test_power_cuts_while_writing_never_lose_an_older_file(start):
    program = (
        "import os\nn = 0\ntry:\n    n = int(open('kept').read())\nexcept OSError:\n    pass\n"
        "print('found', n)\nwhile True:\n    n += 1\n    with open('new', 'w') as f:\n"
        "        f.write(str(n))\n    os.rename('new', 'kept')\n    print('kept', n)\n"
    )
    board = start({"main.py": program})
    kept = 0
    for cut in range(8):
        place = board.serial_position
        if cut:
            board.power_on()
            place = board.wait_serial("found ", 10, place)
            board.wait_serial("\r\n", 10, place)
            found = int(printed(board, place).split()[1])
            assert kept <= found <= kept + 1
            assert board.probe("import esp32; result = esp32.chip.bad_programs") == 0
        for _ in range(2 + cut):
            place = board.wait_serial("kept ", 10, place + 1)
        board.power_off()
        kept = int(re.findall(r"kept (\d+)\r\n", printed(board))[-1])


def test_wall_clock_is_unknown_after_power_on_and_survives_resets(start):
    board = start({"main.py": "import time\nprint('now', time.time(), 'end')\n"})

    def now(place=0):
        place = board.wait_serial("now ", 10, place)
        board.wait_serial("end", 10, place)
        return int(printed(board, place).split()[1])

    assert now() <= 2
    board.wait_serial(PROMPT, 10)
    board.type("import machine; machine.RTC().datetime((2026, 11, 23, 0, 12, 0, 0, 0))\r")
    board.type("import time; print(time.gmtime()[:4]); machine.reset()\r")
    place = board.wait_serial("(2026, 11, 23, 12)", 10)
    assert 0 <= now(place) - 848750400 <= 10
    board.power_off()
    place = board.serial_position
    board.power_on()
    assert now(place) <= 2


def test_tcp_port_is_mapped_to_loopback(start):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    board = start(
        {
            "main.py": "import asyncio\n"
            "async def serve(r, w):\n    w.write(b'hello'); await w.drain(); w.close()\n"
            "async def run():\n    await asyncio.start_server(serve, '0.0.0.0', 80)\n"
            "    print('serving')\n    await asyncio.sleep(1000)\nasyncio.run(run())\n"
        },
        ports={80: port},
    )
    board.wait_serial("serving", 10)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        assert client.recv(5) == b"hello"


def test_world_moves_while_the_firmware_is_busy(start):
    board = start(
        {
            "main.py": "import machine\nmachine.Pin(17, machine.Pin.OUT, value=0)\n"
            "machine.Pin(18, machine.Pin.OUT, value=1)\n"
            "def stop(t):\n    machine.Pin(18, machine.Pin.OUT, value=0)\n"
            "machine.Timer(0).init(period=150, mode=machine.Timer.ONE_SHOT, callback=stop)\n"
            "while True:\n    pass\n"
        }
    )
    board.wait_hardware(lambda h: h["lock_permille"] > 300 and h.get("lock_drive") == 0, 10)
    # The timer stopped the motor on time although nothing called any function of the board.
    assert 450 <= board.world["lock_permille"] <= 550
    assert 150 <= board.hardware()["lock_drive_longest_ms"] <= 152


def test_commands_from_many_threads(start):
    board = start()
    board.wait_serial(PROMPT, 10)
    failures = []

    def work(number):
        try:
            for i in range(20):
                board.set_world(draw_ma=1000 * number + i)
                assert board.probe(f"result = {number} * 1000 + {i}") == number * 1000 + i
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    with pytest.raises(VirtualBoardError, match="has no"):
        board.set_world(flux_capacitor=1)
    with pytest.raises(VirtualBoardError, match="ZeroDivisionError"):
        board.probe("1 // 0")
    with pytest.raises(VirtualBoardError, match="ZeroDivisionError"):
        board.set_world(meter_pulses_per_kwh=0)
    board.set_world(meter_pulses_per_kwh=500)
    assert board.probe("result = world.meter_pulses_per_kwh") == 500


def test_board_ends_with_its_host(interpreter, tmp_path):
    """A bench that is killed leaves no process behind, busy or idle."""
    program = (
        "import sys\nfrom tools.virtual import image\n"
        "from tools.virtual.process import VirtualBoard\n"
        "image.build_image(sys.argv[2], sys.argv[1], {'main.py': sys.argv[3].encode()})\n"
        "board = VirtualBoard(sys.argv[1], sys.argv[2])\nboard.power_on()\n"
        "board.wait_serial('started', 10)\nprint(board.process_id, flush=True)\nsys.stdin.read()\n"
    )
    for main in ("print('started')", "print('started')\nwhile True:\n    pass"):
        with subprocess.Popen(
            [sys.executable, "-c", program, interpreter.name, str(tmp_path / "flash"), main],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as host:
            assert host.stdout
            board = int(host.stdout.readline())
            assert pathlib.Path(f"/proc/{board}").exists()
            host.kill()
        deadline = time.monotonic() + 10
        while _alive(board):
            assert time.monotonic() < deadline, "the board outlives its host"
            select.select([], [], [], 0.01)


def _alive(process_id):
    try:
        return (
            pathlib.Path(f"/proc/{process_id}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
        )
    except FileNotFoundError:
        return False


def test_erasing_stops_everything_for_a_while(start):
    board = start({"main.py": ""}, erase_ms=60)
    board.wait_serial(PROMPT, 10)
    took_ms = board.probe(
        "import esp32, time\npart = esp32.Partition('vfs')\nt = time.ticks_ms()\n"
        "part.ioctl(6, 511)\nresult = time.ticks_diff(time.ticks_ms(), t)"
    )
    assert took_ms >= 60


def test_host_files_are_out_of_reach(start):
    board = start()
    board.wait_serial(PROMPT, 10)
    place = board.serial_position
    board.type("import os; print(os.listdir('/')); open('/etc/passwd')\r")
    board.wait_serial("ENOENT", 10, place)
    assert pathlib.Path("/etc/passwd").exists() and ROOT.exists()
