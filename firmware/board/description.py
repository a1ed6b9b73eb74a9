"""Checks the description of a board before any of its pins is touched.

Promises: `check` raises ValueError with a sentence that names part and key, or the description has
everything the drivers read, of the right type, with no pin used twice and none that the ESP32
cannot use that way. It does not know what the pins are wired to. It is needed once: whoever calls
it gives its memory back.
"""

from micropython import const

from firmware.board.voltage import ADC_RANGES_MV

_OUTPUT = const(0)
_OUTPUTS = const(1)
_INPUT = const(2)
_INPUTS = const(3)
_ANALOG = const(4)
_LEVEL = const(5)
_LEVELS = const(6)
_NUMBER = const(7)
_YES_NO = const(8)
_CURVE = const(9)
_RANGES = const(10)
_UART = const(11)
_I2C = const(12)

# part: key, kind, needed. A key that ends in "?" may be left out.
_PARTS = {
    "pilot": (
        ("pwm_pin", _OUTPUT),
        ("adc_pin", _ANALOG),
        ("adc_range_mv", _NUMBER),
        ("levels_mv", _CURVE),
        ("cut_pin?", _OUTPUT),
        ("cut_level?", _LEVEL),
    ),
    "contactor": (
        ("pins", _OUTPUTS),
        ("closed_level", _LEVEL),
        ("feedback_pins?", _INPUTS),
        ("feedback_closed_level?", _LEVEL),
        ("feedback_pull_up?", _YES_NO),
    ),
    "proximity": (("adc_pin", _ANALOG), ("adc_range_mv", _NUMBER), ("ratings", _RANGES)),
    "lock": (
        ("a_pin", _OUTPUT),
        ("b_pin", _OUTPUT),
        ("off", _LEVELS),
        ("lock", _LEVELS),
        ("unlock", _LEVELS),
        ("pulse_ms", _NUMBER),
        ("feedback_pin?", _INPUT),
        ("locked_level?", _LEVEL),
        ("feedback_pull_up?", _YES_NO),
    ),
    "led": (
        ("pins", _OUTPUTS),
        ("on_level", _LEVEL),
        ("ready", _LEVELS),
        ("waiting", _LEVELS),
        ("charging", _LEVELS),
        ("fault", _LEVELS),
    ),
    "rcd": (
        ("trip_pin", _INPUT),
        ("tripped_level", _LEVEL),
        ("pull_up?", _YES_NO),
        ("test_pin?", _OUTPUT),
        ("test_level?", _LEVEL),
    ),
    "temperature": (("adc_pin", _ANALOG), ("adc_range_mv", _NUMBER), ("table_mv", _CURVE)),
    "meter": (("pulse_pin", _INPUT), ("pull_up?", _YES_NO)),
    "button": (("pin", _INPUT), ("pressed_level", _LEVEL), ("pull_up?", _YES_NO)),
    # The part "reader", by its kind.
    "pn532_uart": (("uart", _UART), ("tx_pin", _OUTPUT), ("rx_pin", _INPUT)),
    "pn532_i2c": (("i2c", _I2C), ("scl_pin", _OUTPUT), ("sda_pin", _OUTPUT)),
    "wiegand": (("d0_pin", _INPUT), ("d1_pin", _INPUT), ("pull_up?", _YES_NO)),
}
_READERS = ("pn532_uart", "pn532_i2c", "wiegand")
_NEEDED = ("pilot", "contactor")

# Whoever names one of these keys names the other as well.
_PAIRS = {
    "cut_pin": "cut_level",
    "feedback_pins": "feedback_closed_level",
    "feedback_pin": "locked_level",
    "test_pin": "test_level",
}

# Longer is no pulse any more: the motors bear 300 to 600 ms.
_LONGEST_PULSE_MS = const(1000)


def check(board):
    """Raise ValueError unless the dict `board` describes a board that the drivers can drive."""
    if not isinstance(board, dict) or not isinstance(board.get("name"), str):
        raise ValueError('A board is described by a dict with a "name".')
    for name in _NEEDED:
        if name not in board:
            raise ValueError('The board has no part "{}".'.format(name))
    users = {}
    for name, part in board.items():
        if name == "name":
            continue
        if name != "reader" and (name not in _PARTS or name in _READERS):
            raise ValueError('There is no part called "{}".'.format(name))
        if not isinstance(part, dict):
            raise ValueError('The part "{}" must be a dict.'.format(name))
        _check_part(name, part, users)
    _check_widths(board)


def _check_part(name, part, users):
    left = set(part)
    rows = _PARTS.get(name)
    if name == "reader":
        if part.get("kind") not in _READERS:
            raise ValueError("reader.kind must be one of: {}.".format(", ".join(_READERS)))
        left.remove("kind")
        rows = _PARTS[part["kind"]]
    for key, kind in rows:
        optional = key.endswith("?")
        if optional:
            key = key[:-1]
        if key in part:
            left.remove(key)
            _check_value(name + "." + key, kind, part[key], users)
            other = _PAIRS.get(key)
            if other and other not in part:
                raise ValueError("{}.{} is missing: {} needs it.".format(name, other, key))
        elif not optional:
            raise ValueError("{}.{} is missing.".format(name, key))
    for key in left:
        raise ValueError('The part "{}" has no key "{}".'.format(name, key))


def _is_int(value, least, most):
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _check_value(where, kind, value, users):
    if kind in (_OUTPUTS, _INPUTS):
        if not isinstance(value, tuple) or not value:
            raise ValueError("{} must be a tuple of pins, such as (26,).".format(where))
        for pin in value:
            _check_pin(where, _OUTPUT if kind == _OUTPUTS else _INPUT, pin, users)
    elif kind in (_OUTPUT, _INPUT, _ANALOG):
        _check_pin(where, kind, value, users)
    elif kind == _YES_NO:
        if not isinstance(value, bool):
            raise ValueError("{} must be True or False.".format(where))
    elif kind == _LEVEL:
        if not _is_int(value, 0, 1):
            raise ValueError("{} must be 0 or 1.".format(where))
    elif kind == _LEVELS:
        if not isinstance(value, tuple) or not all(_is_int(v, 0, 1) for v in value):
            raise ValueError("{} must be a tuple of levels, each 0 or 1.".format(where))
    elif kind == _NUMBER:
        _check_number(where, value)
    elif kind == _UART:
        if not _is_int(value, 1, 2):
            raise ValueError("{} must be 1 or 2: 0 is the serial console.".format(where))
    elif kind == _I2C:
        if not _is_int(value, 0, 1):
            raise ValueError("{} must be 0 or 1.".format(where))
    else:
        _check_rows(where, kind, value)


def _check_number(where, value):
    if where.endswith("adc_range_mv"):
        if value not in ADC_RANGES_MV:
            raise ValueError("{} must be 950, 1250, 1750 or 3100.".format(where))
    elif not _is_int(value, 50, _LONGEST_PULSE_MS):
        raise ValueError("{} must be 50 to {}.".format(where, _LONGEST_PULSE_MS))


def _check_rows(where, kind, rows):
    width = 3 if kind == _RANGES else 2
    least = 1 if kind == _RANGES else 2
    if not isinstance(rows, tuple) or len(rows) < least:
        raise ValueError("{} must be a tuple of at least {} rows.".format(where, least))
    before = 10000
    for row in rows:
        if not isinstance(row, tuple) or len(row) != width:
            raise ValueError("Each row of {} must hold {} numbers.".format(where, width))
        if not all(_is_int(v, -20000, 20000) for v in row) or row[0] < 0:
            raise ValueError("{} holds a number that is no voltage.".format(where))
        top = row[1] if kind == _RANGES else row[0]
        if top < row[0] or top >= before:
            raise ValueError("The rows of {} must fall in mV, without overlap.".format(where))
        before = row[0]


def _check_pin(where, kind, pin, users):
    if not _is_int(pin, 0, 39) or pin in (24, 28, 29, 30, 31):
        raise ValueError("{} uses {}, which is no pin of an ESP32.".format(where, pin))
    if 6 <= pin <= 11:
        raise ValueError("{} uses pin {}, which belongs to the flash chip.".format(where, pin))
    if pin in (1, 3):
        raise ValueError("{} uses pin {}, which is the serial console.".format(where, pin))
    if kind == _OUTPUT and pin >= 34:
        raise ValueError("{} uses pin {}, which can only be an input.".format(where, pin))
    if kind == _ANALOG and not 32 <= pin <= 39:
        raise ValueError(
            "{} uses pin {}: only pins 32 to 39 can measure while WiFi is on.".format(where, pin)
        )
    if pin in users:
        raise ValueError("Pin {} is used twice: by {} and by {}.".format(pin, users[pin], where))
    users[pin] = where


def _check_widths(board):
    """Tuples that belong together have the same length, and pulls are where the chip has them."""
    lock = board.get("lock", {})
    for key in ("off", "lock", "unlock"):
        if key in lock and len(lock[key]) != 2:
            raise ValueError("lock.{} must hold the levels of a and b.".format(key))
    led = board.get("led", {})
    for key in ("ready", "waiting", "charging", "fault"):
        if key in led and len(led[key]) != len(led["pins"]):
            raise ValueError("led.{} must hold a level for each pin.".format(key))
    for name, pin_key, pull_key in (
        ("rcd", "trip_pin", "pull_up"),
        ("meter", "pulse_pin", "pull_up"),
        ("lock", "feedback_pin", "feedback_pull_up"),
        ("contactor", "feedback_pins", "feedback_pull_up"),
        ("reader", "d0_pin", "pull_up"),
        ("reader", "d1_pin", "pull_up"),
    ):
        part = board.get(name, {})
        pins = part.get(pin_key, ())
        for pin in pins if isinstance(pins, tuple) else (pins,):
            if part.get(pull_key) and pin >= 34:
                raise ValueError("{}: pin {} has no pull-up in the chip.".format(name, pin))
