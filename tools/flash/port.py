"""The serial port itself: is it there, what does the charger say, when does it say it.

Used before and after mpremote, never at the same time. DTR and RTS are left and cleared as mpremote
does it, because on most ESP32 boards they are wired to reset and boot mode.
"""

import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

import serial
import serial.tools.list_ports

from tools.flash.errors import FlashError

_ENQ = b"\x05"
_STATUS = re.compile(rb"holdfast: status (\{[^\r\n]*?\})")
# Asked at aiorepl's prompt, where ENQ opens its paste mode. It answers with the same line.
_ASK_AT_PROMPT = b'__import__("firmware.console", None, None, ("console",)).short_status(charger)\r'
_ANSWER_S = 1.5
_FRESH_PROMPT_S = 20.0
_RUNNING_S = 60.0


def existing_ports() -> list[str]:
    """Names of the serial ports that this machine has."""
    return sorted(port.device for port in serial.tools.list_ports.comports())


def _open(port: str) -> serial.Serial:
    return serial.Serial(port, 115200, timeout=0.05, exclusive=True)


def _close(line: serial.Serial) -> None:
    with contextlib.suppress(OSError):  # a pseudo-terminal has neither
        line.rts = False
        line.dtr = False
    line.close()


@contextlib.contextmanager
def opened(port: str) -> Iterator[serial.Serial]:
    """The port, open; FlashError with a sentence if it cannot be."""
    try:
        line = _open(port)
    except (OSError, ValueError) as error:
        raise FlashError(_why_not(port, error)) from None
    try:
        yield line
    except OSError:
        raise FlashError(
            f"{port} went away while it was in use: check cable and power, and flash again"
        ) from None
    finally:
        _close(line)


def _why_not(port: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number is None and (found := re.search(r"\((\d+),", str(error))):
        number = int(found.group(1))  # pyserial hides it in the text
    if number == errno.ENOENT or not os.path.exists(port):
        names = existing_ports()
        there = "the ports that exist: " + ", ".join(names) if names else "no serial port exists"
        return f"there is no port {port}; {there}; is the board plugged in?"
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"this user may not open {port}: join the group that owns it (often dialout), log in "
            "again, and flash again"
        )
    if number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK):
        return f"{port} is in use by another program: close it, and flash again"
    if number in (errno.ENOTTY, errno.EINVAL, errno.EISDIR):
        return f"{port} is no serial port"
    return f"{port} cannot be opened: {error}"


# The lines in which boot.py and the application say what became of a start.
_WORDS = re.compile(
    rb"holdfast: ((?:running|not charging|half-flashed|no version file|maintenance)[^\r\n]*)[\r\n]"
)


class Listener:
    """Collects what the device says on an open port."""

    def __init__(self, line: serial.Serial) -> None:
        self.line = line
        self.heard = b""

    def until(self, *patterns: bytes, within_s: float) -> "re.Match[bytes] | None":
        """The first match of one of `patterns` in all that was heard; None after `within_s`."""
        deadline = time.monotonic() + within_s
        while True:
            for pattern in patterns:
                if found := re.search(pattern, self.heard):
                    return found
            if time.monotonic() > deadline:
                return None
            self.heard += self.line.read(max(1, self.line.in_waiting))


def running_status(port: str) -> tuple[dict[str, Any] | None, bool]:
    """What the running charger says of itself, None if none runs; and whether aiorepl answered.

    The byte ENQ is enough where Holdfast has the serial port to itself. At a prompt it opens a
    paste mode instead: that is left with Ctrl-C. At aiorepl's prompt the charger is then asked by
    name; at MicroPython's own prompt that name does not exist, so no charger runs.
    """
    with opened(port) as line:
        listener = Listener(line)
        line.write(_ENQ)
        answer = listener.until(_STATUS.pattern, rb"paste mode", within_s=_ANSWER_S)
        at_prompt = False
        if answer and answer.group(0) == b"paste mode":
            line.write(b"\x03")
            if not listener.until(rb">>> ", within_s=0.3):
                line.write(_ASK_AT_PROMPT)
            answer = listener.until(_STATUS.pattern, rb">>> ", within_s=_ANSWER_S)
            at_prompt = answer is not None and answer.group(0) != b">>> "
        if answer is None or not answer.re.groups:
            return None, False
        try:
            return json.loads(answer.group(1)), at_prompt
        except ValueError:
            return None, at_prompt


def leave_aiorepl(port: str) -> None:
    """End the charger from aiorepl's prompt: outputs safe, MicroPython's own prompt."""
    with opened(port) as line:
        listener = Listener(line)
        line.write(b"\x03\x04")
        listener.until(rb">>> ", within_s=5)


def wait_for_prompt(port: str) -> str:
    """Wait until the restarted device is at MicroPython's prompt; what it said until then.

    It is left alone while it starts. A program that goes on running (the board had another one) is
    interrupted, but not before boot.py has had its time.
    """
    began = time.monotonic()
    heard = b""
    while time.monotonic() < began + _FRESH_PROMPT_S:
        try:
            with opened(port) as line:
                listener = Listener(line)
                for nudge in (b"", b"", b"\r", b"\r", b"\r\x03", b"\r\x03", b"\r\x03"):
                    line.write(nudge)
                    if listener.until(rb">>> $", within_s=1.5):
                        return _text(heard + listener.heard)
                heard += listener.heard
        except FlashError:  # the port of a chip with USB of its own goes away for a moment
            time.sleep(0.2)
    raise FlashError(
        f"the device at {port} was reset and did not come back to its prompt: press its reset "
        "button, and flash again"
    )


def wait_until_running(port: str) -> str:
    """Wait for the charger's word after its last restart: the line that it says, without its name.

    "running ..." is the good one; the others tell why it does not run.
    """
    deadline = time.monotonic() + _RUNNING_S
    heard = b""
    while time.monotonic() < deadline:
        try:
            with opened(port) as line:
                listener = Listener(line)
                while time.monotonic() < deadline:
                    found = listener.until(_WORDS.pattern, rb">>> $", within_s=5)
                    if found and found.re.groups:
                        return found.group(1).decode(errors="replace")
                    if found:
                        raise _DidNotStart(_text(listener.heard))
                    line.write(_ENQ)  # the line may have passed before the port was open
                    found = listener.until(_STATUS.pattern, _WORDS.pattern, within_s=1)
                    if found and found.re.pattern == _STATUS.pattern:
                        return "running (it answers; its first line was not heard)"
                heard = listener.heard
        except _DidNotStart:
            raise
        except FlashError:
            time.sleep(0.2)
    last = _text(heard).strip().splitlines()[-1:]
    raise FlashError(
        "the firmware is on the device, but within a minute it did not say that it runs"
        + (f'; the last it said: "{last[0]}"' if last else "")
        + ": look at its serial port"
    )


class _DidNotStart(FlashError):
    def __init__(self, heard: str) -> None:
        lines = [text for text in heard.splitlines() if text.strip() and ">>>" not in text]
        reason = next((text for text in reversed(lines) if "Error" in text), "")
        super().__init__(
            "the firmware is on the device, but it ended at once and left MicroPython's prompt"
            + (f": {reason.strip()}" if reason else "")
        )


def _text(heard: bytes) -> str:
    return heard.decode(errors="replace")
