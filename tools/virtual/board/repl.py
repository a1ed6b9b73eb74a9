"""The serial console of the virtual board: friendly prompt, raw REPL and raw paste.

Promises what mpremote and a terminal expect of MicroPython on a device: Ctrl-A raw, Ctrl-B
friendly, Ctrl-C interrupts, Ctrl-D soft reset (at an empty prompt) or end of input, Ctrl-E paste;
raw paste with flow control. Output ends its lines with LF; the host side makes CR LF of it.

No history, no tab completion, no cursor keys.
"""

import io
import sys

from micropython import const

_WINDOW = const(1024)
_MAX_LINE = const(256)

BANNER = (
    sys.version.split("; ")[1]
    + '; Holdfast virtual board with ESP32\nType "help()" for more information.\n'
)

_COMPOUND = ("if", "while", "for", "try", "with", "def", "class", "async")

getc = None  # returns the next byte; the boot ROM sets it
names = None  # the dictionary of __main__


def put(text):
    sys.stdout.write(text)


def show(error):
    """Print what a device prints for an uncaught exception: without the frames of this ROM."""
    text = io.StringIO()
    sys.print_exception(error, text)
    for line in text.getvalue().split("\n")[:-1]:
        if not line.startswith('  File "rom/'):
            print(line)


def _run(source, kind):
    """Compile and run in __main__. False: the code asked for a soft reset."""
    try:
        exec(compile(source, "<stdin>", kind), names)
    except SystemExit:
        return False
    except BaseException as error:
        show(error)
    return True


def raw():
    """The raw REPL. Returns "friendly" or "reset"."""
    while True:
        put("raw REPL; CTRL-B to exit\r\n")
        again = False
        while not again:
            put(">")
            line = bytearray()
            paste = False
            while True:
                c = getc()
                if c == 1:
                    if len(line) == 2 and line[0] == 5:
                        paste = line[1] == 65
                        line = bytearray()
                        if not paste:
                            put("R\x00")
                            continue
                        if not _receive(line):
                            line = bytearray()
                        break
                    again = True
                    break
                elif c == 2:
                    put("\r\n")
                    return "friendly"
                elif c == 3:
                    line = bytearray()
                elif c == 4:
                    break
                else:
                    line.append(c)
            if again:
                continue
            if not line and not paste:
                return "reset"
            if not paste:
                put("OK")
            source = str(line, "utf-8")
            line = None
            error = None
            reset = False
            try:
                code = compile(source, "<stdin>", "exec")
                source = None
                exec(code, names)
            except SystemExit:
                reset = True
            except BaseException as caught:
                error = caught
            code = None
            put("\x04")
            if error is not None:
                show(error)
            put("\x04")
            error = None
            if reset:
                return "reset"


def _receive(line):
    """Raw paste: fill `line` until Ctrl-D. False: broken off by Ctrl-C."""
    put("R\x01" + chr(_WINDOW & 255) + chr(_WINDOW >> 8) + "\x01")
    room = _WINDOW
    while True:
        c = getc()
        if c == 4:
            put("\x04")
            return True
        if c == 3:
            put("\x04")
            return False
        line.append(c)
        room -= 1
        if not room:
            room = _WINDOW
            put("\x01")


def friendly():
    """The prompt for people. Returns "raw" or "reset"."""
    put(BANNER)
    while True:
        put(">>> ")
        line = _line(True)
        if line in ("raw", "reset"):
            return line
        if line == 5:
            line = _paste()
            if line is None:
                continue
            kind = "exec"
        elif line is None or not line.strip():
            continue
        else:
            kind = "single"
            source = line
            while _unfinished(source):
                put("... ")
                line = _line(False)
                if line is None:
                    source = ""
                    break
                source += "\n" + line
            line = source + "\n"
        if not _run(line, kind):
            return "reset"


def _line(empty_commands):
    """One line, echoed; None after Ctrl-C; "raw", "reset" or 5 for the keys of an empty line."""
    line = bytearray()
    while True:
        c = getc()
        if c == 3:
            put("\n")
            return None
        if not line and empty_commands:
            if c == 1:
                put("\n")
                return "raw"
            if c == 2:
                put("\n" + BANNER + ">>> ")
                continue
            if c == 4:
                put("\n")
                return "reset"
            if c == 5:
                return 5
        if c == 13 or c == 10:
            put("\n")
            return str(line, "utf-8")
        if c == 8 or c == 127:
            if line:
                line = line[:-1]
                put("\x08 \x08")
        elif c >= 32 or c == 9:
            if len(line) < _MAX_LINE:
                line.append(c)
                sys.stdout.buffer.write(bytes((c,)))


def _paste():
    put("\npaste mode; Ctrl-C to cancel, Ctrl-D to finish\n=== ")
    text = bytearray()
    while True:
        c = getc()
        if c == 3:
            put("\n")
            return None
        if c == 4:
            put("\n")
            return str(text, "utf-8")
        if c == 13:
            c = 10
        text.append(c)
        put("\n=== " if c == 10 else chr(c))


def _unfinished(source):
    """Whether a line more is needed: an open bracket or string, or a block."""
    depth = 0
    quote = ""
    i = 0
    n = len(source)
    while i < n:
        c = source[i]
        if quote:
            if c == "\\":
                i += 1
            elif source[i : i + len(quote)] == quote:
                i += len(quote) - 1
                quote = ""
            elif c == "\n" and len(quote) == 1:
                quote = ""
        elif c in "'\"":
            quote = c * 3 if source[i : i + 3] == c * 3 else c
            i += len(quote) - 1
        elif c == "#":
            while i < n and source[i] != "\n":
                i += 1
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        i += 1
    if depth > 0 or len(quote) == 3:
        return True
    if source.rstrip().endswith("\\"):
        return True
    word = source.lstrip().replace(":", " ").split(" ", 1)[0]
    if word in _COMPOUND or source.startswith("@"):
        return not source.endswith("\n")  # until an empty line
    return False
