"""What runs before boot.py: the virtual board's boot ROM.

`start(fd)` gets everything from the host over the control link (an inherited socket, see
tools/virtual/process.py): the flash file, the wiring, the state of the world, why the board
starts. It puts the fakes in place of the modules, mounts the flash file at /, takes the host's
own files away, runs boot.py and main.py as a device does, and then serves the serial console.

Frames from the host: eight hexadecimal digits, then so many bytes of JSON. Frames to the host: an
int whose low byte says what follows, "W" (the world, as ints: see _push), "F" (watchdog fed) or
"J" (JSON, length in the upper three bytes).
"""

import _thread
import array
import gc
import json
import os
import select
import socket
import sys
import time

import esp32
import flash_chip
import machine
import micropython
import network  # noqa: F401  firmware imports it when the host's files are out of reach
import repl
import utime
import vfs
import world
from micropython import const

import __main__

# Stock firmware has it frozen: neither its code nor its names take memory of the firmware's. So it
# is imported here, before that is measured. Not charged are then the 0.8 KB that a real chip takes
# at the import, for the objects of its functions and its class.
try:
    import umqtt.simple
except ImportError:
    pass  # the set-up could not fetch it

_PUMP_MS = const(5)
_HEAP_MS = const(250)
_WORLD_INTS = const(18)
_NAME_TABLE_BYTES = const(8000)  # the table of 1,280 takes 9 KB of 32-bit words, the one before 4.5

_DEFAULT_BOOT = "# boot.py: runs at every start, before main.py\n"

_link = None
_poller = None
_stdin = None
_input = None
_byte = bytearray(1)
_now = array.array("i", [0] * _WORLD_INTS)
_sent = array.array("i", [0] * _WORLD_INTS)
_fed = array.array("i", [ord("F")])
_pump_waits = False
_in_pump = False
_heap = [-1, 0]  # most bytes in use so far (-1: nobody asks), and when that was last looked at
_start = []  # when the pins were first driven, and when the pilot was: [us, modules, bytes read]
_interrupted = False  # Ctrl-C on its way
_in_console = False  # the console reads, no program runs


def start(fd):
    """Never returns."""
    global _link, _poller, _stdin, _input
    _link = open(fd, "r+b")
    setup = json.loads(_link.read(int(_link.read(8), 16)))
    _stdin = open(0, "rb")
    _input = select.poll()
    _input.register(_stdin, select.POLLIN)
    _input.register(_link, select.POLLIN)
    _poller = select.poll()
    _poller.register(_link, select.POLLIN)

    chip = flash_chip.FlashChip(open(setup["flash"], "r+b"), setup["flash_size"])
    chip.erase_ms = setup["erase_ms"]
    chip.stall = utime.sleep_ms
    esp32.chip = chip
    esp32.table = [tuple(row) for row in setup["partitions"]]

    machine.wire(setup["board"])
    world.set(**setup["world"])
    if setup["pins"]:
        world.carry_over(setup["contact"], setup["pins"][:2], setup["pins"][2:])
    for port, place in setup["ports"].items():
        socket.ports[int(port)] = place
    for host, place in setup["hosts"].items():
        socket.hosts[host] = place
    machine.cause = setup["cause"]
    machine.identity = bytes(setup["identity"])
    machine.reset_hook = _reset
    machine.wdt_hook = _start_watchdog
    machine.feed_hook = _feed
    machine.rtc_hook = _clock_set
    time.zero_s = setup["zero_s"]
    time.interrupt = _interrupt
    raw = setup["raw"]
    measure = setup["measure"]
    _heap[0] = -1 if not setup["sample_heap"] else 0
    setup = None

    vfs.umount("/")
    _mount(esp32.Partition("vfs"))
    sys.path[:] = ["", ".frozen", "/lib"]
    del sys.argv[1:]
    names = __main__.__dict__
    names.pop("bootrom", None)
    repl.names = names
    repl.getc = _getc
    world.tap = _started
    world.use_live_clock()
    fresh_table = _fill_name_table()
    gc.collect()
    if measure:
        _send({"used": gc.mem_alloc() - fresh_table})
        _stop()
    _push()
    _mark()
    _thread.start_new_thread(_ticker, ())

    if _run_file("boot.py") and not raw and not _run_file("main.py"):
        _soft_reset(False)
    _console(raw)


def _fill_name_table():
    """Make the interpreter begin a new table of interned names; returns the bytes that it took.

    Tables double in size, so the names of these files would shift the moment at which those of the
    firmware need a bigger one. A table of 1,280 entries, begun here and paid for by the firmware,
    costs what a device's own first tables of together 1,260 entries cost.
    """
    gc.disable()
    count = 0
    while True:
        before = gc.mem_alloc()
        getattr(world, "_%d" % count, None)  # looking a name up interns it
        grown = gc.mem_alloc() - before
        if grown > _NAME_TABLE_BYTES:
            gc.enable()
            return grown
        count += 1


def _mark():
    _start.append((utime.ticks_us(), len(sys.modules), esp32.chip.bytes_read))


def _started():
    """Output pins moved, during the start: note when they were safe, and when the pilot came."""
    _push()
    if len(_start) == 1:
        _mark()
    if world.pilot_has_pwm():
        world.tap = _push
        _mark()
        zero = _start[0]
        marks = [
            (utime.ticks_diff(us, zero[0]), modules - zero[1], count - zero[2])
            for us, modules, count in _start[1:]
        ]
        _send({"start": marks})


def _mount(part):
    """As the device's _boot.py: format a blank chip, leave a damaged one alone."""
    try:
        vfs.mount(vfs.VfsLfs2(part), "/")
    except OSError:
        block = bytearray(flash_chip.SECTOR)
        part.readblocks(0, block)
        if block != b"\xff" * flash_chip.SECTOR:
            print("The filesystem appears to be corrupted.")
            return
        vfs.VfsLfs2.mkfs(part)
        vfs.mount(vfs.VfsLfs2(part), "/")
        with open("/boot.py", "w") as file:
            file.write(_DEFAULT_BOOT)
    os.chdir("/")


def _run_file(name):
    """False: the file asked for a soft reset."""
    try:
        os.stat(name)
    except OSError:
        return True
    try:
        execfile(name, repl.names)  # noqa: F821  a builtin of MicroPython
    except SystemExit:
        return False
    except BaseException as error:
        repl.show(error)
    return True


def _console(raw):
    while True:
        what = repl.raw() if raw else repl.friendly()
        if what == "reset":
            _soft_reset(raw)
        raw = what == "raw"


def _soft_reset(raw):
    repl.put("MPY: soft reboot\r\n")
    _reset("soft", raw)


def _reset(kind, raw=False):
    """Tell the host and wait for the end; it starts the next life of this board."""
    _push()
    _send({"reset": kind, "raw": raw})
    _stop()


def _stop():
    while True:
        utime.sleep_ms(1000)


def _die():
    """The host is gone. From a scheduled callback an exception would not end the process."""
    os.system("kill -9 $PPID")


def _start_watchdog(timeout_ms):
    _send({"wdt_ms": timeout_ms})


def _feed():
    _link.write(_fed)


def _clock_set():
    _send({"zero_s": time.zero_s})


# ---------------------------------------------------------------- serial input


def _getc():
    """The next byte from the serial port; meanwhile the control link is served."""
    global _interrupted, _in_console
    _in_console = True
    while True:
        ready = False
        for item in _input.ipoll(50):
            if item[0] is _stdin:
                ready = True
        if ready:
            if not _stdin.readinto(_byte):
                _die()
            _in_console = False
            return _byte[0]
        _serve()
        if _interrupted:
            # No program to stop: the key itself is what the console wants.
            _interrupted = False
            _send({"interrupted": False})


def _interrupt():
    """Called by the time functions of a running program."""
    global _interrupted
    if _interrupted and not _in_console and not _in_pump and not world.held:
        _interrupted = False
        _send({"interrupted": True})
        raise KeyboardInterrupt


# ---------------------------------------------------------------- control link


def _ticker():
    """A thread of its own, so that the world goes on while the firmware does not call anything."""
    global _pump_waits
    while True:
        utime.sleep_ms(_PUMP_MS)
        if not _pump_waits:
            _pump_waits = True
            micropython.schedule(_pump, None)


def _pump(_):
    """In the main thread, between two bytecodes of whatever runs there."""
    global _pump_waits
    _pump_waits = False
    _serve()


def _serve():
    global _in_pump
    if _in_pump or world.held or esp32.chip.busy:
        return
    _in_pump = True
    try:
        world.sync()
        _push()
        if _heap[0] >= 0 and utime.ticks_diff(utime.ticks_ms(), _heap[1]) > _HEAP_MS:
            _sample_heap()
        for _ in _poller.ipoll(0):
            _command()
    finally:
        _in_pump = False


def _sample_heap():
    gc.collect()
    used = gc.mem_alloc()
    if used > _heap[0]:
        _heap[0] = used
        _send({"heap": used})
    _heap[1] = utime.ticks_ms()


def _command():
    global _interrupted
    head = _link.read(8)
    if not head:
        _die()
    message = json.loads(_link.read(int(head, 16)))
    what = message["do"]
    answer = {"n": message.get("n")}
    if what == "interrupt":
        _interrupted = True
        return
    if what == "set":
        try:
            world.set(**message["world"])
        except ValueError as error:
            answer["refused"] = str(error)
        except Exception as error:
            answer["error"] = repr(error)
    elif what == "probe":
        space = {"world": world, "machine": machine, "main": __main__, "result": None}
        try:
            exec(message["code"], space)
            answer["result"] = space["result"]
        except BaseException as error:
            answer["error"] = repr(error)
    elif what == "hosts":
        socket.hosts.update(message["hosts"])
    _push()
    _send(answer)


def _send(message):
    try:
        data = json.dumps(message).encode()
    except Exception:
        data = json.dumps({"n": message.get("n"), "error": "no JSON of it"}).encode()
    head = array.array("i", [ord("J") | len(data) << 8])
    _link.write(bytes(head) + data)


def _push():
    """Tell the host about the world, if it changed. Allocates nothing."""
    now = _now
    now[0] = 87  # "W"
    now[1] = (
        (1 if world.contactor_closed else 0)
        | (2 if world.coil else 0)
        | (4 if world.asleep else 0)
        | (8 if world.s2_closed else 0)
        | (16 if world.lock_drive > 0 else 0)
        | (32 if world.lock_drive < 0 else 0)
    )
    now[2] = world.lock_permille
    now[3] = world.current_ma
    now[4] = world.energy_wh
    now[5] = world.energy_rest_mwh
    now[6] = world.duty_permille
    now[7] = world.pilot_high_mv
    now[8] = world.pilot_low_mv
    now[9] = world.lock_drive_longest_ms
    now[10] = world.callback_errors
    now[11] = esp32.chip.erases
    now[12] = esp32.chip.programs
    now[13] = esp32.chip.bad_programs
    changed = world.outputs_changed
    if changed:
        world.outputs_changed = False
        low = 0
        high = 0
        level_low = 0
        level_high = 0
        for n in range(20):
            if world.mode[n] == 3:
                low |= 1 << n
            if world.mode[n + 20] == 3:
                high |= 1 << n
            if world.level[n]:
                level_low |= 1 << n
            if world.level[n + 20]:
                level_high |= 1 << n
        now[14] = low
        now[15] = high
        now[16] = level_low
        now[17] = level_high
    for i in range(_WORLD_INTS):
        if now[i] != _sent[i]:
            changed = True
            _sent[i] = now[i]
    if changed:
        _link.write(now)
