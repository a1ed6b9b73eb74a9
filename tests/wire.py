"""What goes over the air between a browser and the charger: a relay that counts it."""

import contextlib
import socket
import threading
import time


class Exchange:
    """One connection: the request's first line, and the bytes each way, heads included."""

    def __init__(self):
        self.line = ""
        self.sent = 0
        self.received = 0
        self.over = False

    def __repr__(self):
        return f"{self.line}: {self.sent} bytes sent, {self.received} received"


class Wire:
    """Listens at `address` and passes everything on to the charger's `port`; a context manager.

    The charger answers one request on each connection, so that exchanges are requests.
    """

    def __init__(self, port):
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._all = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._accepting.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(10)
        self._listener.close()

    @property
    def exchanges(self):
        """All so far on which something was sent: browsers also open connections to have them."""
        return [one for one in self._all if one.line]

    def wait(self, what, condition, within_s=30):
        """Poll until `condition` of the exchanges that are over; returns those."""
        deadline = time.monotonic() + within_s
        while True:
            seen = [one for one in self.exchanges if one.over]
            if condition(seen):
                return seen
            assert time.monotonic() < deadline, f"not within {within_s} s: {what}; seen: {seen}"
            time.sleep(0.02)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                browser, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(browser,), daemon=True).start()

    def _relay(self, browser):
        exchange = Exchange()
        self._all.append(exchange)
        with contextlib.suppress(OSError), browser:
            with socket.create_connection(("127.0.0.1", self._port)) as charger:
                back = threading.Thread(target=self._back, args=(charger, browser, exchange))
                back.start()
                with contextlib.suppress(OSError):
                    while data := browser.recv(65536):
                        exchange.sent += len(data)
                        if not exchange.line:
                            exchange.line = data.partition(b"\r\n")[0].decode("latin-1")
                        charger.sendall(data)
                with contextlib.suppress(OSError):
                    charger.shutdown(socket.SHUT_WR)  # what was opened in vain takes no place there
                back.join()

    def _back(self, charger, browser, exchange):
        with contextlib.suppress(OSError):
            while data := charger.recv(65536):
                exchange.received += len(data)
                browser.sendall(data)
        exchange.over = True
        with contextlib.suppress(OSError):
            browser.shutdown(socket.SHUT_RDWR)
