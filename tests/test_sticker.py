"""What each charger has for itself, from its flash on: WiFi password, PIN, and the sticker."""

import re
import stat
import time
import xml.etree.ElementTree as ElementTree

import pytest
import segno
from conftest import ROOT
from test_flash import powered, run_flash

from firmware import settings
from tools.bench import flash as bench_flash
from tools.flash.credentials import new_password, new_pin
from tools.flash.sticker import Sticker, save, svg, terminal
from tools.virtual import image

# The one in the README, of no real charger.
EXAMPLE = Sticker("garage-1", "k7pm3xw9ehtc", "482915")
NASTY = Sticker("a_b.c-" + "x" * 26, 'semi;comma,colon:quote"back\\slash <&>')
SVG = "{http://www.w3.org/2000/svg}"


def joined(code):
    """Name and password as a phone reads them out of a QR code's text; the rules are ZXing's."""
    assert code.startswith("WIFI:") and code.endswith(";;")
    fields, text, escaped = {}, "", False
    for c in code.removeprefix("WIFI:")[:-1]:
        if escaped or c not in "\\;":
            text += c
            escaped = False
        elif c == "\\":
            escaped = True
        else:
            kind, _, value = text.partition(":")
            fields[kind] = value
            text = ""
    assert fields.keys() == {"T", "S", "P"} and fields["T"] == "WPA" and not text
    return fields["S"], fields["P"]


def test_passwords_are_drawn_and_pass_the_check():
    drawn = {new_password() for _ in range(1000)}
    assert len(drawn) == 1000
    for password in drawn:
        assert re.fullmatch("[a-hjkmnp-z2-9]{12}", password)
    assert len({password[0] for password in drawn}) == 31
    some = settings.Settings("/nowhere")
    some.set_many({"ap_password": drawn.pop(), "pin": new_pin()})
    assert len({new_pin() for _ in range(100)}) > 90
    for short in ("x" * 11, "é" * 12, "x" * 64):
        with pytest.raises(settings.SettingsError):
            some.set_many({"ap_password": short})
    some.set_many({"ap_password": ""})


def test_code_says_what_the_radio_says():
    assert EXAMPLE.code == "WIFI:T:WPA;S:Holdfast-garage-1;P:k7pm3xw9ehtc;;"
    assert NASTY.code.endswith(r";P:semi\;comma\,colon\:quote\"back\\slash <&>;;")
    for sticker in (EXAMPLE, NASTY, Sticker("holdfast-1", "x" * 63)):
        assert joined(sticker.code) == (sticker.network, sticker.password)
        assert len(sticker.network.encode()) <= 32


def dark(sticker):
    """The modules of the code as a maker of QR codes gives them, without the quiet zone."""
    return [list(row) for row in segno.make_qr(sticker.code, error="m").matrix]


@pytest.mark.parametrize("sticker", [EXAMPLE, NASTY])
def test_picture(sticker):
    page = ElementTree.fromstring(svg(sticker))
    rows = dark(sticker)
    size = len(rows)
    drawn = [[0] * size for _ in rows]
    for x, y in re.findall(r"M(\d+) (\d+)h1v1h-1z", page.find(f".//{SVG}path").get("d")):
        drawn[int(y) - 4][int(x) - 4] = 1
    assert drawn == rows
    texts = [text.text for text in page.iter(f"{SVG}text")]
    for shown in (sticker.charger_id, sticker.network, sticker.password, "http://192.168.4.1"):
        assert shown in texts
    assert ("PIN" in texts) == bool(sticker.pin) and (not sticker.pin or sticker.pin in texts)


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("sticker", [EXAMPLE, NASTY])
def test_terminal(sticker, colour):
    halves = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
    rows = []
    for line in terminal(sticker, colour).split("\n"):
        if colour:
            line = line.removeprefix("\x1b[30;107m").removesuffix("\x1b[0m")
        rows += [[halves[c][n] for c in line] for n in (0, 1)]
    if not colour:
        rows = [[1 - module for module in row] for row in rows]
    wanted = dark(sticker)
    assert [row[4 : 4 + len(wanted)] for row in rows[4 : 4 + len(wanted)]] == wanted
    quiet = rows[:4] + rows[4 + len(wanted) : 8 + len(wanted)]
    assert all(not any(row) for row in quiet) and all(not any(row[:4] + row[-4:]) for row in rows)


def test_file_is_for_nobody_else(tmp_path):
    path = save(EXAMPLE, tmp_path / "stickers")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.name == "garage-1.svg" and [path] == list(path.parent.iterdir())


def test_example_in_the_readme_is_as_it_comes():
    assert (ROOT / "docs" / "sticker.svg").read_text() == svg(EXAMPLE)


def on_air(board):
    """What the charger's own network is called, and its password, once it is there."""
    deadline = time.monotonic() + 10
    while True:
        shown = board.probe("import network\nresult = network.access_point()")
        if shown["on"]:
            assert shown["security"] == 3
            return shown["ssid"], shown["key"]
        assert time.monotonic() < deadline, "the charger's own WiFi does not start"
        time.sleep(0.05)


def told(said):
    """Name and password of the WiFi that a flash has told."""
    found = [re.match(r"WiFi of this charger: (\S+), password (\S+)$", text) for text in said]
    ((name, password),) = [one.groups() for one in found if one]
    return name, password


@pytest.mark.parametrize("interpreter", ["board"], indirect=True)
def test_first_flash_gives_the_charger_a_network_of_its_own(interpreter, tmp_path):
    # All its files are there, so that the test is quick; its settings are a new board's.
    path = image.build_charger(tmp_path / "flash", interpreter.name, {"charger_id": "box-7"})
    folder = tmp_path / "stickers"
    with powered(interpreter, path) as board:
        said = run_flash(board, board="smartevse_v3", stickers=folder)
        name, password = told(said)
        assert name == "Holdfast-box-7"
        pin = next(text for text in said if text.startswith("PIN"))[-6:]
        assert (folder / "box-7.svg").read_text() == svg(Sticker("box-7", password, pin))
        assert any(terminal(Sticker("box-7", password), False) in text for text in said)
        assert on_air(board) == (name, password)

        # another one when it is asked for, and then a sticker without the PIN that nobody knows
        said = run_flash(board, new_password=True, stickers=folder)
        assert not any("PIN" in text for text in said)
        another = told(said)[1]
        assert another != password and on_air(board) == (name, another)
        assert (folder / "box-7.svg").read_text() == svg(Sticker("box-7", another))

        # and nothing more of either
        said = run_flash(board, stickers=folder)
        assert not any("PIN" in text or another in text for text in said)


def test_bench_gives_one_too_and_keeps_it(tmp_path):
    found = []
    for _ in range(2):
        made = bench_flash.prepare_flash(tmp_path, interpreter="packaged", board="smartevse_v3")
        file = bench_flash._edit(made.image, "packaged", {"read": ["settings.json"]})
        (tmp_path / "settings.json").write_bytes(file["settings.json"])
        stored = settings.Settings(str(tmp_path))
        stored.load()
        found.append(stored.ap_password)
        made.lock.close()
    assert found[0] == found[1] and re.fullmatch("[a-hjkmnp-z2-9]{12}", found[0])
