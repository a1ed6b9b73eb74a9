"""The loopback ports of `make run`, from the environment: checked before anything is started."""

import contextlib
import socket
from collections.abc import Mapping
from typing import NamedTuple

LOOPBACK = "127.0.0.1"

# name of the variable -> (default, whose port it is, for the sentences)
_PORTS = {
    "HTTP_PORT": (8080, "the charger's page"),
    "BENCH_PORT": (8081, "the bench"),
    "MQTT_PORT": (1883, "the MQTT broker"),
}


class PortError(Exception):
    """A port that cannot be used; the text is a sentence for the person who started the bench."""


class Ports(NamedTuple):
    """The three ports, all different and free when they were picked."""

    http: int
    bench: int
    mqtt: int


def choose_ports(environ: Mapping[str, str]) -> Ports:
    """Ports from HTTP_PORT, BENCH_PORT and MQTT_PORT; 0 means any free one.

    Raises PortError for text that is no port, for a port named twice and for one in use.
    """
    # The sockets stay bound until all three are picked, so that "any free one" never picks one
    # port twice.
    with contextlib.ExitStack() as held:
        chosen: dict[str, int] = {}
        # Named ports first: a free one must not take a port that a later variable asks for.
        for name in sorted(_PORTS, key=lambda name: _asked(environ, name) == 0):
            port = _asked(environ, name)
            for other, taken in chosen.items():
                if port and port == taken:
                    raise PortError(f"{name} and {other} are both {port}: give each its own port.")
            bound = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            # As the servers do: a connection closed a moment ago is no reason to refuse.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                bound.bind((LOOPBACK, port))
                bound.listen()
            except OSError as error:
                raise PortError(
                    f"Port {port} for {_PORTS[name][1]} cannot be used ({error.strerror}). "
                    f"Set {name} to another port, or to 0 for any free one."
                ) from None
            chosen[name] = bound.getsockname()[1]
        return Ports(chosen["HTTP_PORT"], chosen["BENCH_PORT"], chosen["MQTT_PORT"])


def _asked(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return _PORTS[name][0]
    if not text.isdecimal() or int(text) > 65535:
        raise PortError(f"{name} is {text!r}: a port is a number from 0 to 65535.")
    return int(text)
