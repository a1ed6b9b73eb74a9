"""`python -m tools.flash PORT`: what `make flash` runs.

Exit code 0 once the charger runs, 1 with one sentence on stderr otherwise, 2 for wrong usage.
HOLDFAST_DEBUG=1 shows where an unexpected error came from.
"""

import argparse
import os
import sys

from tools.flash import port as serial_port
from tools.flash.errors import FlashError
from tools.flash.steps import Options, flash


def _options(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="make flash PORT=...", description="Puts the firmware onto a board."
    )
    parser.add_argument("port", nargs="?", help="serial port of the board")
    parser.add_argument("--id", dest="charger_id", help="name of this charger (ID=...)")
    parser.add_argument("--board", help="its kind of board (BOARD=...)")
    parser.add_argument("--force", action="store_true", help="even while a car charges (FORCE=1)")
    parser.add_argument("--new-pin", action="store_true", help="give it another PIN")
    parser.add_argument(
        "--new-password", action="store_true", help="give its own WiFi another password"
    )
    return Options(**vars(parser.parse_args(arguments)))


def _say(text: str) -> None:
    print(f"flash: {text}", flush=True)


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    if not options.port:
        names = serial_port.existing_ports()
        there = "ports that exist: " + ", ".join(names) if names else "no serial port exists"
        print(f"flash: no port was given (make flash PORT=...); {there}", file=sys.stderr)
        return 2
    try:
        flash(options, _say)
    except FlashError as error:
        print(f"flash: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("flash: interrupted; nothing was changed on the board", file=sys.stderr)
        return 130
    except Exception as error:  # a bug of these tools; the person at the bench gets a sentence
        if os.environ.get("HOLDFAST_DEBUG"):
            raise
        print(
            f"flash: unexpected error, {type(error).__name__}: {error}; HOLDFAST_DEBUG=1 shows "
            "where; flashing again does no harm",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
