"""Builds the charger's page: what is in page/, made small and gzipped, as it is flashed.

`page_files()` gives two files. `page.html.gz` is all that a first visit loads: the state, the
button that frees the cable, and the sentences for both, with style, script and three languages in
it. `more.js.gz` is what is behind the PIN, loaded when somebody logs in. The same sources give the
same bytes, on every machine and at every time. The sources stay readable: what is removed is
comments, indentation and line ends that mean nothing; gzip does the rest.
"""

from __future__ import annotations

import ast
import gzip
import json
import pathlib
import re

from firmware import settings_table

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCE = ROOT / "page"
LANGUAGES = ("en", "nb", "de")
PLACE = "firmware/web/"
# What the firmware says in English itself
_REASONS = ROOT / "firmware" / "reasons.txt"
_TROUBLES = tuple(ROOT / "firmware" / "uplink" / name for name in ("trouble.py", "broker.py"))
_STYLE = '<link rel="stylesheet" href="style.css">'
_SCRIPT = '<script src="page.js"></script>'
_TEXTS = '"@TEXTS@"'


class PageError(Exception):
    """Something in page/ that cannot be built; the text is a sentence."""


def page_files() -> dict[str, bytes]:
    """{path on the device: contents}, for the list of what is flashed. PageError."""
    return {PLACE + "page.html.gz": build_page(), PLACE + "more.js.gz": build_more()}


def build_page() -> bytes:
    """The page as one gzipped HTML file. PageError for texts or sources that do not fit."""
    page = _shorter_html(_source("index.html", _STYLE, _SCRIPT))
    page = page.replace(_STYLE, f"<style>{_shorter_css(_source('style.css'))}</style>")
    script = _script("page.js", "page", "reasons")
    return _zipped(page.replace(_SCRIPT, f"<script>{script}</script>"))


def build_more() -> bytes:
    """The part behind the PIN as one gzipped script. PageError as above."""
    return _zipped(_script("more.js", "more", "meanings", "troubles"))


def texts(language: str, *parts: str) -> dict[str, str]:
    """{key: text} of some parts of a language, in the file's order.

    The parts are "page", "more", "reasons" (by code), "meanings" (of settings that have no name in
    "more") and "troubles" with the cloud; the last three are the firmware's own in English.
    PageError for a key that is there twice, and for a text that is empty or has a line end.
    """
    name = f"page/texts/{language}.json"
    content = (SOURCE / "texts" / f"{language}.json").read_text(encoding="utf-8")
    found = json.loads(content, object_pairs_hook=lambda pairs: _no_twins(pairs, name))
    if language == "en":
        found["reasons"] = _firmware_texts(_REASONS)
        named = found["more"]
        meanings = {row[0]: row[5] for row in settings_table.rows()}
        found["meanings"] = {
            "m." + key: text for key, text in meanings.items() if "n." + key not in named
        }
        del found["meanings"]["m.pin"]  # it has a dialog of its own
    troubles = _troubles()
    its = found.get("troubles", {text: text for text in troubles})
    if odd := sorted(set(its) ^ set(troubles)):
        raise PageError(f"{name}: these are not the firmware's sentences about the cloud: {odd}.")
    # The charger says them in English, without a code: the page knows them by their words.
    found["troubles"] = {f"y.{n}": its[text] for n, text in enumerate(troubles)}
    chosen = _no_twins([pair for part in parts for pair in found[part].items()], name)
    for key, text in chosen.items():
        if not text or "\n" in text or " " in key:
            raise PageError(f"{name}: {key!r} is empty, or has a space or a line end too many.")
    return chosen


def _firmware_texts(path: pathlib.Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        key, _, text = line.partition(" ")
        found[key] = text
    return found


def _troubles() -> list[str]:
    """What the firmware says of its way to the cloud; {0}, {1} for what it puts in."""
    found: dict[str, None] = {}
    for path in _TROUBLES:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                first, *rest = node.value.split("{}")
                text = first + "".join(f"{{{n}}}{part}" for n, part in enumerate(rest))
                if node not in docstrings and " " in text and text[-1] in ".?":
                    found[text] = None
    return list(found)


def _no_twins(pairs: list[tuple[str, str]], name: str) -> dict[str, str]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twin = next(key for key in keys if keys.count(key) > 1)
        raise PageError(f"{name}: {twin!r} is there twice.")
    return found


def _source(name: str, *places: str) -> str:
    """The text of a file of page/, in which each of `places` stands once."""
    text = (SOURCE / name).read_text(encoding="utf-8")
    for place in places:
        if text.count(place) != 1:
            raise PageError(f"page/{name} must have {place} once.")
    return text


def _zipped(text: str) -> bytes:
    return gzip.compress(text.encode(), 9, mtime=0)


def _script(name: str, *parts: str) -> str:
    """A script of page/ made shorter, with the texts of these parts in it."""
    script = _shorter_script(_source(name, _TEXTS), name).replace(_TEXTS, _all_texts(*parts))
    if "</script" in script or "<!--" in script:
        raise PageError(f"page/{name} or one of its texts would end the script element.")
    return script


def _all_texts(*parts: str) -> str:
    """The texts as a JavaScript object: the keys once, and each language's in their order."""
    by_language = {language: texts(language, *parts) for language in LANGUAGES}
    keys = list(by_language["en"])
    for language, found in by_language.items():
        if odd := sorted(set(keys) ^ set(found)):
            raise PageError(f"page/texts/{language}.json does not fit the English texts: {odd}.")
    columns = {name: "\n".join(found[key] for key in keys) for name, found in by_language.items()}
    return json.dumps(
        {"keys": " ".join(keys), **columns}, ensure_ascii=False, separators=(",", ":")
    )


def _shorter_html(text: str) -> str:
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return "".join(line.strip() + "\n" for line in text.splitlines() if line.strip())


def _shorter_css(text: str) -> str:
    """Without comments and spaces; the sheet has no strings in which either would count."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" ?([{};,]) ?|(?<=:) ", r"\1", text).strip()


def _shorter_script(text: str, name: str) -> str:
    """Without lines that are comments, indentation and empty lines.

    Line ends stay, as the script's statements end with them. A text over several lines would be
    damaged and a comment between code be kept, so neither may be there.
    """
    kept = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line.startswith("//") or not line:
            continue
        if line.count("`") % 2 or "/*" in line:
            raise PageError(f"page/{name}, line {number}: a text or comment over several lines.")
        kept.append(line)
    return "\n".join(kept)
