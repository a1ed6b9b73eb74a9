"""The board's serial port on this machine: a pseudo-terminal, and a record of what was printed.

Promises: the path stays the same for the life of the object, whatever happens to the board; line
ends are those of a device (CR LF); what the board prints while nobody has the terminal open is
lost to the terminal, as with a UART, but not to the record. Ctrl-C is told apart from other keys,
because it must reach a program that reads nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import select
import termios
import threading
import tty

_LOG_LIMIT = 1 << 20
_CLOSED_POLL_MS = 20  # how soon it is noticed that somebody opened the terminal
CTRL_C = b"\x03"


class SerialPort:
    """`typed(data)` is called, in a thread of this object, with what came from the terminal.

    Ctrl-C comes alone. `changed` is a Condition that guards the record and is notified when the
    board printed something.
    """

    def __init__(self, changed, typed):
        self._changed = changed
        self._typed = typed
        self.log = bytearray()  # the end of what the board printed
        self.position = 0  # how many bytes it has printed in all
        self._last = 0
        self._closed = False
        self._open = False
        self._out = bytearray()
        self._keys: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self._master, False)
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._threads = [
            threading.Thread(target=self._serve_terminal, daemon=True),
            threading.Thread(target=self._serve_keys, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def close(self):
        """Gives the pseudo-terminal back."""
        self._closed = True
        self._keys.put(None)
        self._wake()
        for thread in self._threads:
            thread.join(10)
        for fd in (self._master, self._wake_read, self._wake_write):
            os.close(fd)

    def type(self, data):
        """As if it had been typed at the terminal."""
        self._keys.put(data)

    def printed(self, data):
        """The board prints."""
        cooked = bytearray()
        for byte in data:
            if byte == 10 and self._last != 13:
                cooked.append(13)
            cooked.append(byte)
            self._last = byte
        with self._changed:
            self.log += cooked
            self.position += len(cooked)
            if len(self.log) > _LOG_LIMIT:
                del self.log[: len(self.log) - _LOG_LIMIT // 2]
            if self._open:
                self._out += cooked
            self._changed.notify_all()
        self._wake()

    def find(self, wanted, since):
        """Position of `wanted` at or after position `since`, -1 if it was not printed (yet)."""
        first = self.position - len(self.log)
        found = self.log.find(wanted, max(0, since - first))
        return found + first if found >= 0 else -1

    def _wake(self):
        with contextlib.suppress(BlockingIOError):  # the pipe is full: it will wake anyhow
            os.write(self._wake_write, b"x")

    def _serve_keys(self):
        while True:
            data = self._keys.get()
            if data is None:
                return
            while data:
                before, key, data = data.partition(CTRL_C)
                for part in (before, key):
                    if part:
                        self._typed(part)

    def _serve_terminal(self):
        while not self._closed:
            if self._open:
                self._exchange()
            elif not self._poll(self._master, 0, 0) & select.POLLHUP:
                self._opened()
            else:
                self._poll(self._wake_read, select.POLLIN, _CLOSED_POLL_MS)
                self._drain_wakes()

    @staticmethod
    def _poll(fd, events, timeout_ms):
        poll = select.poll()
        poll.register(fd, events)
        return dict(poll.poll(timeout_ms)).get(fd, 0)

    def _drain_wakes(self):
        if self._poll(self._wake_read, select.POLLIN, 0):
            os.read(self._wake_read, 4096)

    def _exchange(self):
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        with self._changed:
            waiting = bool(self._out)
        poll.register(self._master, select.POLLIN | (select.POLLOUT if waiting else 0))
        state = dict(poll.poll(1000)).get(self._master, 0)
        self._drain_wakes()
        if state & select.POLLIN:
            try:
                self._keys.put(os.read(self._master, 4096))
            except OSError as error:
                if error.errno not in (errno.EIO, errno.EAGAIN):
                    raise
        elif state & select.POLLHUP:
            with self._changed:
                self._open = False
                self._out.clear()
            return
        if state & select.POLLOUT:
            with self._changed:
                try:
                    sent = os.write(self._master, self._out)
                except OSError:
                    sent = 0
                del self._out[:sent]

    def _opened(self):
        """Somebody opened the terminal: without echo, or the board would talk to itself."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            fd = -1  # opened exclusively, by a program that sets it up itself
        if fd >= 0:
            if termios.tcgetattr(fd)[3] & termios.ECHO:
                tty.setraw(fd)
            os.close(fd)
        with self._changed:
            self._open = True
