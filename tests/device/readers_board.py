"""The card reader as a part of the board: what is refused, and what is loaded."""

import sys

import machine
import readers_fixture
import world
from board_fixture import MADE_UP, Settings, description
from readers_fixture import PARTS

from firmware.board.board import Board, BoardError

DRIVERS = ("firmware.board.reader", "firmware.board.pn532", "firmware.board.wiegand")


def _with_reader(part, of="esp32_devkit"):
    what = dict(MADE_UP if of == "made_up" else description(of))
    if part is not None:
        what["reader"] = part
    return what


def _loaded():
    return [name.rsplit(".", 1)[1] for name in DRIVERS if name in sys.modules]


def test_only_the_drivers_that_are_needed():
    for kind, modules in (
        (None, []),
        ("wiegand", ["reader", "wiegand"]),
        ("i2c", ["reader", "pn532"]),
        ("uart", ["reader", "pn532"]),
    ):
        for name in DRIVERS:
            sys.modules.pop(name, None)
        what = _with_reader(PARTS[kind] if kind else None)
        machine.wire(what)
        board = Board(what, Settings)
        assert _loaded() == modules, (kind, _loaded())
        if kind is None:
            assert board.reader is None and world.reader is None
        else:
            assert board.reader.name == what["reader"]["kind"] and board.reader.ok


def test_the_real_boards_have_none():
    for name in ("smartevse_v3", "esp32_devkit"):
        assert "reader" not in description(name)


def _refused(words, part, of="esp32_devkit"):
    what = _with_reader(part, of)
    before = bytes(world.mode)
    try:
        Board(what, Settings)
    except BoardError as e:
        text = str(e)
        assert text.endswith("."), text
        for word in words:
            assert word in text, (word, text)
        assert bytes(world.mode) == before and _loaded() == []
        return
    raise AssertionError("accepted: {}".format(part))


def test_what_is_refused():
    machine.wire(description("esp32_devkit"))
    uart, i2c, wiegand = PARTS["uart"], PARTS["i2c"], PARTS["wiegand"]
    _refused(("reader", "dict"), 5)
    _refused(("reader.kind", "pn532_uart", "pn532_i2c", "wiegand"), {})
    for kind in ("rc522", "", None, 1, [], "reader"):
        _refused(("reader.kind",), dict(uart, kind=kind))
    for key in ("uart", "tx_pin", "rx_pin"):
        _refused(("reader." + key, "missing"), {k: v for k, v in uart.items() if k != key})
    for key in ("i2c", "scl_pin", "sda_pin"):
        _refused(("reader." + key, "missing"), {k: v for k, v in i2c.items() if k != key})
    for key in ("d0_pin", "d1_pin"):
        _refused(("reader." + key, "missing"), {k: v for k, v in wiegand.items() if k != key})
    for value in (0, 3, -1, "2", True, None, 1.0):
        _refused(("reader.uart", "1 or 2"), dict(uart, uart=value))
    for value in (2, -1, "0", True, None):
        _refused(("reader.i2c", "0 or 1"), dict(i2c, i2c=value))
    _refused(('"colour"', '"reader"'), dict(i2c, colour=1))
    _refused(('"d0_pin"',), dict(uart, d0_pin=21))  # a key of another kind
    _refused(("reader.tx_pin", "34", "input"), dict(uart, tx_pin=34))
    _refused(("reader.sda_pin", "35", "input"), dict(i2c, sda_pin=35))
    _refused(("reader.rx_pin", "console"), dict(uart, rx_pin=3))
    _refused(("reader.scl_pin", "flash"), dict(i2c, scl_pin=6))
    _refused(("26", "twice", "contactor.pins"), dict(uart, tx_pin=26))
    _refused(("twice",), dict(i2c, sda_pin=22))
    _refused(("twice",), dict(wiegand, d0_pin=22))
    _refused(("39", "twice", "proximity"), dict(uart, rx_pin=39))
    _refused(("pull-up", "34"), dict(wiegand, d0_pin=34, pull_up=True))
    _refused(("pull-up", "35"), dict(wiegand, d1_pin=35, pull_up=True))
    _refused(("reader.pull_up",), dict(wiegand, pull_up=1))
    what = _with_reader(None)
    what["wiegand"] = wiegand  # a kind is no part
    try:
        Board(what, Settings)
        raise AssertionError("accepted")
    except BoardError as e:
        assert 'no part called "wiegand"' in str(e)
    Board(_with_reader(dict(wiegand, d0_pin=34, d1_pin=35)), Settings)
    Board(_with_reader(dict(wiegand, pull_up=True)), Settings)


def test_buses_without_a_device():
    machine.devices.clear()
    uart = machine.UART(1, 115200, tx=4, rx=5)
    assert uart.write(b"abc") == 3 and uart.any() == 0
    assert uart.read() is None and uart.readinto(bytearray(4)) is None
    i2c = machine.I2C(0, scl=machine.Pin(22), sda=machine.Pin(21), timeout=1000)
    assert i2c.scan() == []
    for ask in (lambda: i2c.writeto(0x24, b"a"), lambda: i2c.readfrom_into(0x24, bytearray(1))):
        try:
            ask()
            raise AssertionError("answered")
        except OSError as e:
            assert e.errno == 19
    machine.wire(_with_reader(PARTS["i2c"]))
    assert i2c.scan() == [0x24] and i2c.readfrom(0x24, 3) == b"\0\0\0"
    machine.wire(_with_reader(PARTS["uart"]))
    try:
        machine.UART(3)
        raise AssertionError("there is no UART 3")
    except ValueError:
        pass


readers_fixture.run(globals())
