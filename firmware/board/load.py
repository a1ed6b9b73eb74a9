"""From a board's name to a Board: reads and checks its description, builds what only some have.

Needed at the start, and when flashing stores what is safe for a board.
"""

from firmware.board.board import Board, BoardError
from firmware.briefly import briefly


def load_board(name, settings):
    """Build the board described by firmware/board/<name>.py.

    BoardError with a sentence when there is none or its description cannot be used; no pin was
    touched then. `settings` has mains_v, phases and meter_pulses_per_kwh.
    """
    return Board(_read_description(name), settings)


def safe_pins(name):
    """The (pin, level) byte pairs that make the board `name` safe, contactor first.

    Touches no pin. BoardError as in `load_board`.
    """
    board = _read_description(name)
    check(board)
    return pins_of(board)


def _read_description(name):
    if not name:
        raise BoardError('No board is chosen: set "board" to the name of its file.')
    if len(name) > 32 or not all(c in "abcdefghijklmnopqrstuvwxyz0123456789_" for c in name):
        raise BoardError('"{}" cannot be the name of a board.'.format(name))
    try:
        module = briefly("firmware.board." + name)
    except ImportError:
        raise BoardError('There is no board "{}".'.format(name)) from None
    except SyntaxError:
        raise BoardError(
            'The description of the board "{}" is no valid Python.'.format(name)
        ) from None
    board = getattr(module, "BOARD", None)
    if board is None:
        raise BoardError('"{}" is no board: its file describes none.'.format(name))
    return board


def check(board):
    """BoardError unless the dict `board` describes one."""
    try:
        briefly("firmware.board.description").check(board)
    except ValueError as e:
        raise BoardError(str(e)) from None


def build_meter(board, settings, now_ms):
    """The board's meter, or the estimate that stands for one."""
    # Imported here, as below: a board takes the memory of no driver but its own.
    if "meter" in board:
        from firmware.board.meter import PulseMeter

        return PulseMeter(board["meter"], settings, now_ms)
    from firmware.board.estimate import Estimate

    return Estimate(settings, now_ms)


def build_reader(part):
    """The card reader that `part` of a description describes."""
    if part["kind"] == "wiegand":
        from firmware.board.wiegand import Wiegand

        return Wiegand(part)
    from firmware.board.pn532 import Pn532

    return Pn532(part)


def build_button(part):
    """A function that says whether the button is held down."""
    from machine import Pin

    pin = Pin(part["pin"], Pin.IN, Pin.PULL_UP if part.get("pull_up") else None)
    level = part["pressed_level"]
    return lambda: pin.value() == level


def pins_of(board):
    """What `safe_pins` returns, of a description that was checked."""
    pairs = []
    contactor = board["contactor"]
    for pin in contactor["pins"]:
        pairs += (pin, 1 - contactor["closed_level"])
    lock = board.get("lock")
    if lock:
        pairs += (lock["a_pin"], lock["off"][0], lock["b_pin"], lock["off"][1])
    pilot = board["pilot"]
    if "cut_pin" in pilot:
        pairs += (pilot["cut_pin"], 1 - pilot["cut_level"])
    pairs += (pilot["pwm_pin"], 1)
    rcd = board.get("rcd", {})
    if "test_pin" in rcd:
        pairs += (rcd["test_pin"], 1 - rcd["test_level"])
    return bytes(pairs)
