"""Every code that the firmware can show has a sentence, and every sentence a code."""

import re

from conftest import ROOT

from firmware.reasons import sentence

FIRMWARE = ROOT / "firmware"
SOURCES = (
    "charging/controller.py",
    "charging/faults.py",
    "charging/limits.py",
    "charging/signals.py",
    "access/decision.py",
    "access/authorization.py",
    "status.py",
    "console_prompt.py",
)
# Words in the same spelling that are no reasons: states, and why a session ended (OCPP 1.6).
OTHERS = {
    "Available",
    "Preparing",
    "SuspendedEV",
    "SuspendedEVSE",
    "Finishing",
    "Unavailable",
    "Faulted",
    "Local",
    "DeAuthorized",
    # words of a docstring
    "Who",
    "When",
    # with a sentence of their own in status.py
    "BoardRefused",
    "TaskEnded",
}


def lines():
    return (FIRMWARE / "reasons.txt").read_text().splitlines()


def test_every_code_has_one_sentence():
    codes = set()
    for name in SOURCES:
        codes |= set(
            re.findall(r'"([A-Z][a-z]+(?:[A-Z][a-zA-Z]*)?)"', (FIRMWARE / name).read_text())
        )
    codes -= OTHERS
    known = [line.split(" ", 1)[0] for line in lines()]
    assert len(known) == len(set(known))
    assert sorted(codes - set(known)) == [], "no sentence for these"
    assert sorted(set(known) - codes) == [], "nobody shows these"


def test_sentences_are_whole():
    for line in lines():
        code, text = line.split(" ", 1)
        assert text[0].isupper() and text.endswith(".") and len(text) < 100, line
        assert sentence(code) == text
    assert sentence("Nonsense") == "Nonsense"


def test_every_setting_has_a_meaning():
    from firmware.settings_table import rows

    table = list(rows())
    names = [row[0] for row in table]
    assert len(names) == len(set(names)) > 40
    for name, _, _, _, _, meaning in table:
        assert 5 < len(meaning) < 100 and meaning[-1] != ".", name
    # Each is found alone, wherever it stands in the file, and so are several.
    for row in table:
        assert list(rows([row[0]])) == [row]
    assert list(rows({names[-1]: 1, names[0]: 2, "nonsense": 3})) == [table[0], table[-1]]
