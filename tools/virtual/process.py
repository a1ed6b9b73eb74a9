"""The virtual board as a process: power, serial port, reset, and the world that outlives it.

`VirtualBoard` starts the interpreter with the boot ROM of tools/virtual/board, gives it the flash
file, and keeps what the board itself cannot keep: the world around it (car, cable, lock position,
energy), the watchdog's clock, the pseudo-terminal that stays the same across resets. Cutting the
power is SIGKILL at that instant; the flash file stays as it lies.

Promises: every method may be called from any thread and returns when it is done; nothing here
sleeps blindly, every wait has a deadline and says what it waited for. It knows nothing about
charging, and the firmware knows nothing about it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import queue
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import Any

from tools.virtual import heap_worst
from tools.virtual.serial_port import CTRL_C, SerialPort

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "virtual"
FAKES = pathlib.Path(__file__).resolve().parent / "board"
BINARIES = {"packaged": "micropython", "board": "micropython-board"}

FLASH_SIZE = 4 << 20
# The partition table of a stock ESP32 image: type, subtype, address, size, label, encrypted.
STOCK_PARTITIONS = (
    (1, 2, 0x9000, 0x6000, "nvs", False),
    (1, 1, 0xF000, 0x1000, "phy_init", False),
    (0, 0, 0x10000, 0x1F0000, "factory", False),
    (1, 129, 0x200000, 0x200000, "vfs", False),
)

POWER_ON, HARD_RESET, WATCHDOG, DEEP_SLEEP, SOFT_RESET = 1, 2, 3, 4, 5
_CAUSES = {"hard": HARD_RESET, "soft": SOFT_RESET, "wdt": WATCHDOG, "deepsleep": DEEP_SLEEP}

# What the world is like at first. JSON names; energy_mwh stands for two counters of the board.
WORLD: dict[str, Any] = {
    "plugged": False,
    "car_connected": True,
    "cable_a": 32,
    "car_state": "B",
    "draw_ma": 32000,
    "phases": 1,
    "mains_v": 230,
    "asleep": False,
    "diode": True,
    "ignores_duty": False,
    "s2_follows_ms": 0,
    "lock_permille": 0,
    "lock_travel_ms": 300,
    "jammed": False,
    "lock_feedback_broken": False,
    "welded": False,
    "contactor_bounce_ms": 4,
    "contactor_stuck_open": False,
    "rcd_tripped": False,
    "rcd_self_test_ok": True,
    "pilot_short": False,
    "temperature_dc": 250,
    "temperature_broken": False,
    "meter_silent": False,
    "meter_pulses_per_kwh": 1000,
    "energy_mwh": 0,
    "noise_mv": 0,
    "wifi": True,
    "wifi_password": "",
    "ap_clients": 0,
    "cloud": True,
    "card": "",
    "reader_fault": "",
    "button": False,
}

LOCK_HOLDS = 300  # permille; as in tools/virtual/board/world.py
_WORLD_INTS = 18
_INTERRUPT_S = 2.0  # a program that calls nothing for so long is interrupted by a signal


class VirtualBoardError(Exception):
    """A sentence about what the virtual board could not do."""


def interpreter_path(name):
    """The executable of "packaged" or "board"; a path is taken as it is."""
    if name in BINARIES:
        return str(ROOT / "build" / "bin" / BINARIES[name])
    return str(name)


@functools.cache
def interpreter_version(name):
    """(1, 25) and whether its words have 32 bits."""
    done = subprocess.run(
        [interpreter_path(name), "-c", "import sys; print(sys.implementation[1], sys.maxsize)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    numbers = done.stdout.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return (int(numbers[0]), int(numbers[1])), int(numbers[-1]) < 1 << 32


def read_wiring(name):
    """The BOARD dictionary of firmware/board/`name`.py, or of any file given by its path."""
    if isinstance(name, dict):
        return name
    path = pathlib.Path(name)
    if not path.suffix:
        path = ROOT / "firmware" / "board" / f"{name}.py"
    names: dict = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    return names["BOARD"]


def fakes(interpreter):
    """The folder with the compiled fakes; compiled when it is not there yet."""
    from tools import firmware_files

    version, _ = interpreter_version(interpreter)
    sources = {path.name: path.read_bytes() for path in sorted(FAKES.glob("*.py"))}
    sources |= firmware_files.built_in()
    return firmware_files.compile_folder(sources, version, BUILD, "rom/", ("-O3",))


def own_heap(interpreter, board):
    """Bytes of heap that the virtual board takes for itself before boot.py; measured once."""
    folder = fakes(interpreter)
    key = hashlib.sha256(json.dumps(board).encode()).hexdigest()[:12]
    binary = os.path.realpath(interpreter_path(interpreter))
    key += hashlib.sha256(f"{binary}{os.path.getmtime(binary)}".encode()).hexdigest()[:8]
    kept = folder / f"heap-{key}.json"
    if not kept.exists():
        flash = folder / f"heap-{key}.{os.getpid()}.flash"
        board_process = VirtualBoard(interpreter, flash, board, heap=None)
        try:
            used = board_process.measure()
        finally:
            board_process.close()
            flash.unlink(missing_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(used))
        part.replace(kept)
    return int(kept.read_text())


def _bytes(heap):
    units = {"K": 1 << 10, "M": 1 << 20}
    return int(heap[:-1]) * units[heap[-1]] if heap[-1] in units else int(heap)


class VirtualBoard:
    """One board, powered off at first.

    `interpreter` is "packaged", "board" or a path; `flash_path` is made blank if it is not there;
    `board` is a name in firmware/board, a path, or a BOARD dictionary: the hardware as wired.
    `ports` maps the board's TCP ports to this machine's. `heap` is what the firmware may have;
    "auto" is 110K on the board interpreter and the default of the packaged one, whose words are
    twice as wide. `state` is what an earlier board's `state()` returned.
    """

    def __init__(
        self,
        interpreter,
        flash_path,
        wiring="smartevse_v3",
        *,
        ports=None,
        hosts=None,
        heap="auto",
        state=None,
        partitions=STOCK_PARTITIONS,
        identity=b"\x24\x0a\xc4\x00\x00\x01",
        erase_ms=0,
    ):
        self.interpreter = interpreter
        self.flash_path = pathlib.Path(flash_path)
        self.board = read_wiring(wiring)
        self.ports = dict(ports or {})
        self.hosts = dict(hosts or {})
        self.heap = heap
        self.partitions = partitions
        self.identity = bytes(identity)
        self.erase_ms = erase_ms
        self.world = dict(WORLD)
        if state:
            self.world.update(state)
        self.resets: list[str] = []  # "power", "hard", "soft", "wdt", "crash", in order
        self.feeds = 0
        self.boots = 0
        self.facts: dict = {}  # counters of the running board, see hardware()

        self._power = threading.RLock()  # held while a process is started or ended
        self._changed = threading.Condition()  # guards everything below, and world
        self._sending = threading.Lock()
        self._process: Any = None  # subprocess.Popen while powered
        self._threads: list[threading.Thread] = []
        self._link: Any = None
        self._stdin = -1
        self._answers: dict[int, dict] = {}
        self._count = 0
        self._pins: list[int] = []
        self._contactor = bool(self.world["welded"])
        self._now = {"duty_permille": 0, "pilot_high_mv": 0, "pilot_low_mv": 0, "current_ma": 0}
        self._zero_s = 0
        self._wdt_s = 0.0
        self._wdt_due = 0.0
        self._interrupted: bool | None = None
        self._closed = False
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        self._stderr = b""

        self._serial = SerialPort(self._changed, self._typed)
        self.serial_path = self._serial.path
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()

    # ------------------------------------------------------------ power

    @property
    def powered(self):
        return self._process is not None

    @property
    def process_id(self):
        """Of the interpreter while the board is powered, else None."""
        process = self._process
        return process.pid if process else None

    def power_on(self):
        """Start the board. Nothing if it runs already."""
        with self._power:
            if self._closed:
                raise VirtualBoardError("this board was closed")
            if self._process is None:
                self._zero_s = int(time.time())
                self.resets.append("power")
                self._start(POWER_ON)

    def power_off(self):
        """Cut the power at this instant. The flash file stays as it lies."""
        with self._power:
            if self._process is not None:
                self._kill()
                self._unpowered()

    def close(self):
        """Power off and give the pseudo-terminal back. The flash file stays."""
        self.power_off()
        with self._power:
            if self._closed:
                return
            self._closed = True
        self._jobs.put(None)
        self._supervisor.join(10)
        self._serial.close()

    def measure(self):
        """Bytes of heap in use when boot.py would start; the board is off afterwards."""
        with self._power:
            self._start(POWER_ON, measure=True)
            try:
                with self._changed:
                    self._wait(lambda: "used" in self.facts, 20, "the heap to be measured")
                    return self.facts["used"]
            finally:
                self._kill()
                self._unpowered()

    def state(self):
        """What to give to the next VirtualBoard to find the same world."""
        with self._changed:
            return dict(self.world)

    def _start(self, cause, *, pins=(), contactor=False, raw=False, measure=False):
        if not self.flash_path.exists():
            self.flash_path.parent.mkdir(parents=True, exist_ok=True)
            self.flash_path.write_bytes(b"\xff" * FLASH_SIZE)
        folder = fakes(self.interpreter)
        heap = self.heap
        if heap == "auto":
            heap = "110K" if interpreter_version(self.interpreter)[1] else None
        command = [interpreter_path(self.interpreter)]
        if heap:
            # Its bytes have their share of the collector's tables: 3 bits for each block of 16.
            total = _bytes(heap) + own_heap(self.interpreter, self.board) * 131 // 128
            command += ["-X", f"heapsize={total}"]
        ours, theirs = socket.socketpair()
        stdin_read, self._stdin = os.pipe()
        stdout_read, stdout_write = os.pipe()
        stderr_read, stderr_write = os.pipe()
        fd = theirs.fileno()
        command += ["-c", f"import bootrom; bootrom.start({fd})"]
        self._process = subprocess.Popen(
            command,
            stdin=stdin_read,
            stdout=stdout_write,
            stderr=stderr_write,
            pass_fds=(fd,),
            env={**os.environ, "MICROPYPATH": f"{folder}:.frozen"},
            start_new_session=True,
        )
        theirs.close()
        for end in (stdin_read, stdout_write, stderr_write):
            os.close(end)
        self.boots += 1
        with self._changed:
            self.facts = {}
            self._interrupted = None
            self._stderr = b""
            world = dict(self.world)
            energy = world.pop("energy_mwh")
            world["energy_wh"], world["energy_rest_mwh"] = divmod(energy, 1000)
        setup = {
            "flash": str(self.flash_path.resolve()),
            "flash_size": self.flash_path.stat().st_size,
            "erase_ms": self.erase_ms,
            "partitions": self.partitions,
            "board": self.board,
            "world": world,
            "pins": list(pins),
            "contact": contactor,
            "cause": cause,
            "ports": {str(port): place for port, place in self.ports.items()},
            "hosts": self.hosts,
            "identity": list(self.identity),
            "zero_s": self._zero_s,
            "raw": raw,
            "measure": measure,
            "sample_heap": heap_worst.wanted() and self.heap == "auto" and bool(heap),
        }
        number = self.boots
        self._threads = [
            threading.Thread(target=self._read_link, args=(ours, number), daemon=True),
            threading.Thread(target=self._read_serial, args=(stdout_read,), daemon=True),
            threading.Thread(target=self._read_stderr, args=(stderr_read,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._send(setup, ours)
        self._link = ours

    def _kill(self):
        """End the process now and take in everything that it had said."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for thread in self._threads:
            thread.join(10)
        self._link.close()
        os.close(self._stdin)
        with self._changed:
            self._process = None
            self._changed.notify_all()

    def _unpowered(self):
        with self._changed:
            self._contactor = bool(self.world["welded"])
            self._now = dict.fromkeys(self._now, 0)
            self._pins = []
            self._wdt_s = 0.0
            self._changed.notify_all()

    def _supervise(self):
        """Resets and the watchdog: what ends one process and starts the next."""
        while True:
            timeout = None
            with self._changed:
                if self._wdt_s:
                    timeout = max(0.0, self._wdt_due - time.monotonic())
            try:
                job = self._jobs.get(timeout=timeout)
            except queue.Empty:
                job = ("wdt", self.boots, False)
            if job is None:
                return
            kind, number, raw = job
            if kind == "look":
                continue
            with self._power:
                if self._process is None or number != self.boots:
                    continue
                if kind == "wdt":
                    with self._changed:
                        if not self._wdt_s or self._wdt_due > time.monotonic():
                            continue
                    if select.select([self._link], [], [], 0)[0]:
                        continue  # this machine is busy: the food may lie unread
                self._kill()
                if kind == "crash":
                    self.resets.append(kind)
                    self._unpowered()
                    continue
                pins, contactor = self._pins, self._contactor
                if kind != "soft":
                    self._unpowered()
                    pins, contactor = [], False
                self.resets.append(kind)
                self._start(_CAUSES[kind], pins=pins, contactor=contactor, raw=raw)

    # ------------------------------------------------------------ control link

    def _send(self, message, link=None):
        data = json.dumps(message).encode()
        # An error: the process ended; whoever waits for the answer will see that.
        with self._sending, contextlib.suppress(OSError):
            (link or self._link).sendall(b"%08x" % len(data) + data)

    def _read_link(self, link, number):
        """A thread: what the board says until its process ends."""
        with contextlib.suppress(ConnectionResetError):  # it was killed with something unread
            self._take_all(link.makefile("rb"), number)
        self._jobs.put(("crash", number, False))

    def _take_all(self, file, number):
        while True:
            head = file.read(4)
            if len(head) < 4:
                return
            (word,) = struct.unpack("=i", head)
            kind = word & 255
            if kind == ord("W"):
                data = file.read(4 * (_WORLD_INTS - 1))
                if len(data) == 4 * (_WORLD_INTS - 1):
                    self._take_world(struct.unpack(f"={_WORLD_INTS - 1}i", data))
            elif kind == ord("F"):
                with self._changed:
                    self.feeds += 1
                    self._wdt_due = time.monotonic() + self._wdt_s
            else:
                data = file.read(word >> 8)
                if len(data) == word >> 8:
                    self._take_message(json.loads(data), number)

    def _take_world(self, ints):
        flags = ints[0]
        with self._changed:
            self._contactor = bool(flags & 1)
            self.world["asleep"] = bool(flags & 4)
            self.world["lock_permille"] = ints[1]
            self.world["energy_mwh"] = ints[3] * 1000 + ints[4]
            self._now = {
                "current_ma": ints[2],
                "duty_permille": ints[5],
                "pilot_high_mv": ints[6],
                "pilot_low_mv": ints[7],
            }
            self._pins = list(ints[13:17])
            self.facts.update(
                coil=bool(flags & 2),
                s2_closed=bool(flags & 8),
                lock_drive=bool(flags & 16) - bool(flags & 32),
                lock_drive_longest_ms=ints[8],
                callback_errors=ints[9],
                flash_erases=ints[10],
                flash_programs=ints[11],
                flash_bad_programs=ints[12],
            )
            self._changed.notify_all()

    def _take_message(self, message, number):
        with self._changed:
            if "n" in message:
                self._answers[message["n"]] = message
            elif "wdt_ms" in message:
                self._wdt_s = message["wdt_ms"] / 1000
                self._wdt_due = time.monotonic() + self._wdt_s
                self._jobs.put(("look", number, False))
            elif "zero_s" in message:
                self._zero_s = message["zero_s"]
            elif "interrupted" in message:
                self._interrupted = message["interrupted"]
            elif "used" in message:
                self.facts["used"] = message["used"]
            elif "heap" in message:
                heap_worst.note(message["heap"] - own_heap(self.interpreter, self.board))
            elif "start" in message:
                # [us, modules, bytes of flash] from boot.py to the first driven pin, and the pilot
                self.facts["start"] = message["start"]
            elif "reset" in message:
                self._jobs.put((message["reset"], number, message["raw"]))
            self._changed.notify_all()

    def _ask(self, message, timeout_s):
        """Send a command and return the answer; None when the board lost its power meanwhile."""
        with self._changed:
            boot = self.boots
            self._count += 1
            number = self._count
        self._send({**message, "n": number})
        with self._changed:
            self._wait(
                lambda: number in self._answers or self._process is None or self.boots != boot,
                timeout_s,
                "the board to answer " + message["do"],
            )
            return self._answers.pop(number, None)

    def _wait(self, condition, timeout_s, what):
        """With self._changed held."""
        if not self._changed.wait_for(condition, timeout_s):
            end = self.serial_log[-2000:].decode(errors="replace")
            raise VirtualBoardError(f"waited {timeout_s} s for {what}; the console's end:\n{end}")

    # ------------------------------------------------------------ the world

    def set_world(self, **fields):
        """Change the world, now. VirtualBoardError: unknown field, or the lock holds the plug."""
        unknown = set(fields) - set(WORLD)
        if unknown:
            raise VirtualBoardError(f"the world has no {', '.join(sorted(unknown))}")
        sent = dict(fields)
        if "energy_mwh" in sent:
            wh, rest = divmod(sent.pop("energy_mwh"), 1000)
            sent.update(energy_wh=wh, energy_rest_mwh=rest)
        while True:
            with self._power:
                if self._process is None:
                    self._set_unpowered(fields)
                    return
            answer = self._ask({"do": "set", "world": sent}, 10)
            if answer is not None:
                break
            # The board was reset or lost its power meanwhile: again, to whatever is there now.
        for word in ("refused", "error"):
            if word in answer:
                raise VirtualBoardError(answer[word])
        with self._changed:
            for name in set(fields) - {"asleep", "lock_permille", "energy_mwh"}:
                self.world[name] = fields[name]

    def _set_unpowered(self, fields):
        with self._changed:
            leaves = self.world["plugged"] and not fields.get("plugged", True)
            if leaves and self.world["lock_permille"] > LOCK_HOLDS:
                raise VirtualBoardError("the lock holds the plug")
            if fields.get("plugged") and not self.world["plugged"]:
                self.world["asleep"] = False
            self.world.update(fields)
            self._contactor = bool(self.world["welded"])
            self._changed.notify_all()

    def hardware(self):
        """What an electrician would measure, and what the world is like, as plain JSON."""
        with self._changed:
            permille = self.world["lock_permille"]
            lock = "locked" if permille >= 900 else "unlocked" if permille <= 100 else "moving"
            return {
                "contactor": "closed" if self._contactor else "open",
                "lock": lock,
                **self._now,
                "energy_wh": self.world["energy_mwh"] // 1000,
                "powered": self._process is not None,
                "serial": self.serial_path,
                "resets": list(self.resets[-20:]),
                "outputs": self._outputs(),
                **{name: value for name, value in self.world.items() if name != "energy_mwh"},
                **self.facts,
            }

    def _outputs(self):
        """{pin: level} of every pin that the firmware drives."""
        if not self._pins:
            return {}
        modes = self._pins[0] | self._pins[1] << 20
        levels = self._pins[2] | self._pins[3] << 20
        return {pin: levels >> pin & 1 for pin in range(40) if modes >> pin & 1}

    def wait_hardware(self, condition, timeout_s, what="the hardware"):
        """Wait until `condition(hardware())`; returns that reading."""
        found = {}

        def check():
            found.update(self.hardware())
            return condition(found)

        with self._changed:
            self._wait(check, timeout_s, what)
        return found

    def probe(self, code, timeout_s=10):
        """Run MicroPython code inside the board, as a debugger would; returns its `result`.

        It sees `world`, `machine`, and `main` (the module __main__), and runs between two
        bytecodes of the firmware. VirtualBoardError: it raised, or the board is off.
        """
        if not self.powered:
            raise VirtualBoardError("the board has no power")
        answer = self._ask({"do": "probe", "code": code}, timeout_s)
        if answer is None:
            raise VirtualBoardError("the board was reset while it was probed")
        if "error" in answer:
            raise VirtualBoardError(answer["error"])
        return answer.get("result")

    def set_hosts(self, hosts):
        """Host names that the board can resolve besides the real ones: {name: (ip, port)}."""
        self.hosts.update(hosts)
        if self.powered:
            self._ask({"do": "hosts", "hosts": self.hosts}, 10)

    # ------------------------------------------------------------ serial port

    def wait_serial(self, text, timeout_s, since=0):
        """Wait until the board has printed `text` after position `since`; returns its position."""
        wanted = text.encode() if isinstance(text, str) else text
        with self._changed:
            self._wait(
                lambda: self._serial.find(wanted, since) >= 0,
                timeout_s,
                repr(text) + " on the serial port",
            )
            return self._serial.find(wanted, since)

    @property
    def serial_log(self):
        """The end of what the board printed, with CR LF."""
        with self._changed:
            return bytes(self._serial.log)

    @property
    def serial_position(self):
        """How many bytes the board has printed so far: a place to wait from."""
        with self._changed:
            return self._serial.position

    @property
    def stderr(self):
        """What the interpreter itself complained about; empty when all is well."""
        with self._changed:
            return self._stderr.decode(errors="replace")

    def type(self, data):
        """Type on the serial port without the pseudo-terminal."""
        self._serial.type(data.encode() if isinstance(data, str) else data)

    def _typed(self, data):
        if data == CTRL_C:
            self._interrupt()
        else:
            self._write_stdin(data)

    def _read_serial(self, fd):
        while data := os.read(fd, 65536):
            self._serial.printed(data)
        os.close(fd)

    def _read_stderr(self, fd):
        while data := os.read(fd, 65536):
            with self._changed:
                self._stderr = (self._stderr + data)[-20000:]
            if os.environ.get("HOLDFAST_STDERR"):
                sys.stderr.write(data.decode(errors="replace"))
        os.close(fd)

    def _write_stdin(self, data):
        while data and self.powered:
            try:
                data = data[os.write(self._stdin, data) :]
            except OSError:
                return

    def _interrupt(self):
        """Ctrl-C: stops the running program; at the console it is a key like any other."""
        with self._changed:
            process = self._process
            if process is None:
                return
            boot = self.boots
            self._interrupted = None
        self._send({"do": "interrupt"})
        with self._changed:

            def done():
                return self._interrupted is not None or self.boots != boot or not self._process

            if not self._changed.wait_for(done, _INTERRUPT_S):
                # A loop that calls neither time nor asyncio: the interpreter's own Ctrl-C.
                process.send_signal(signal.SIGINT)
                return
            console = self._interrupted is False
        if console:
            self._write_stdin(b"\x03")
