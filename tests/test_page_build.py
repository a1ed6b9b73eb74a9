"""The charger's page as it is built: small, always the same, and whole in three languages."""

import gzip
import json
import re

import pytest
from conftest import ROOT

from firmware.settings_table import rows
from tools import page

# Bytes. What a whole first visit takes over the air is measured in test_page.py.
MOST = {"firmware/web/page.html.gz": 13000, "firmware/web/more.js.gz": 16000}
PARTS = {"page.js": ("page", "reasons"), "more.js": ("more", "meanings", "troubles")}
# Keys that the scripts put together of a first part and something else
FIRST_PARTS = ("w.", "s.", "q.", "p.", "ph.", "c.", "n.", "h.", "m.", "e.", "y.")


def built(name):
    return gzip.decompress(page.page_files()["firmware/web/" + name]).decode()


def source(name):
    return (ROOT / "page" / name).read_text()


def texts(language):
    return page.texts(language, "page", "reasons", "more", "meanings", "troubles")


def lines(name):
    return (ROOT / "firmware" / name).read_text().splitlines()


def test_the_same_sources_give_the_same_bytes():
    first = page.page_files()
    assert first == page.page_files()
    assert first.keys() == MOST.keys()
    for name, data in first.items():
        print(name, len(data))
        assert len(data) <= MOST[name], f"{name}: {len(data)}"
        assert data[:4] == b"\x1f\x8b\x08\x00" and data[4:8] == bytes(4), "a name or a time in it"


def test_everything_is_inside_and_nothing_else():
    html, more = built("page.html.gz"), built("more.js.gz")
    for whole in (html, more):
        assert "@TEXTS@" not in whole
        assert not re.search(r"https?:|//[a-z]", whole), "an address elsewhere"
        assert not re.search(r"^\s*//", whole, re.MULTILINE), "a comment"
    assert '<link rel="icon" href="data:,">' in html, "browsers would ask for an icon"
    assert "style.css" not in html and "page.js" not in html and "/more.js" in html
    assert html.count("<script") == html.count("</script>") == html.count("<style>") == 1
    # What stands in the sources stands in the page: only space and comments may go.
    for name in PARTS:
        code = [line.strip() for line in source(name).splitlines()]
        for line in code:
            if line and not line.startswith("//") and "@TEXTS@" not in line:
                assert line in (html if name == "page.js" else more)


def test_the_style_survives():
    def rules(css):
        return re.sub(r"\s+", "", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL))

    style = built("page.html.gz").split("<style>")[1].split("</style>")[0]
    assert rules(style) == rules(source("style.css"))
    # Spaces that mean something: between selectors, and in values
    for text in (".held .big", "summary h2", "1px solid var(--line)", "min(34rem,100vw - 1.5rem)"):
        assert text in style


def test_all_languages_say_the_same_things():
    english = texts("en")
    for language in page.LANGUAGES:
        its = texts(language)
        assert its.keys() == english.keys()
        for key, text in its.items():
            assert text == text.strip() and "  " not in text, (language, key)
            marks = re.findall(r"\{\d\}", english[key])
            assert sorted(re.findall(r"\{\d\}", text)) == sorted(marks), (language, key)
            # A sentence stays one: it stands alone where it is shown.
            assert (text[-1] in ".!?…") == (english[key][-1] in ".!?…"), (language, key)
            if language != "en" and len(text) > 24:
                assert text != english[key], f"{language}: {key} is not translated"


def test_every_code_and_every_setting_has_its_words():
    codes = {line.split(" ", 1)[0] for line in lines("reasons.txt")}
    names = {row[0] for row in rows()} - {"pin"}
    for language in page.LANGUAGES:
        its = texts(language)
        assert sorted(codes - its.keys()) == []
        assert sorted(name for name in names if not {"n." + name, "m." + name} & its.keys()) == []
        assert sorted(key for key in its if key[:2] in ("n.", "m.") and key[2:] not in names) == []
        for name, _, allowed, *_ in rows():
            if "n." + name in its and isinstance(allowed, tuple) and not name.endswith("_policy"):
                choices = {f"c.{name}.{one}" for one in allowed if isinstance(one, str)}
                assert choices <= its.keys(), (language, name)


def test_every_refusal_that_is_translated_exists():
    told = {line.split(" ", 1)[0] for line in lines("web/errors.txt")}
    ours = {key[2:] for key in texts("en") if key.startswith("e.")}
    assert sorted(ours - told) == []


@pytest.mark.parametrize("script", PARTS)
def test_every_text_is_used_and_every_use_has_a_text(script):
    code = source("page.js") + (source("more.js") if script == "more.js" else "")
    mine = page.texts("en", *PARTS[script])
    known = texts("en") if script == "more.js" else mine
    own = source(script)
    # t("key") and what stands as a key in a list of keys
    used = set(re.findall(r'\bt\("([^"]+)"', own))
    assert sorted(key for key in used if key not in known and not key.endswith(".")) == []
    for key in mine:
        if key.startswith(FIRST_PARTS) or key[0].isupper():
            continue
        stem = key.removesuffix("_now").removesuffix("_text")
        assert re.search(rf'"{re.escape(key)}"|"{re.escape(stem)}"', code), f"{key} is not used"


def test_every_word_for_the_wifi_has_a_text():
    code = (ROOT / "firmware" / "web" / "reception.py").read_text()
    words = set(re.findall(r'(?:\d: |"house"\] = |"house": |, )"([a-z-]+)"', code)) - {
        "house",
        "own",
    }
    shown = page.texts("en", "more")
    assert {"w." + word for word in words} == {key for key in shown if key.startswith("w.")}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The sources where a test may spoil them."""
    for path in (ROOT / "page").rglob("*"):
        if path.is_file():
            to = tmp_path / path.relative_to(ROOT / "page")
            to.parent.mkdir(exist_ok=True)
            to.write_bytes(path.read_bytes())
    monkeypatch.setattr(page, "SOURCE", tmp_path)
    return tmp_path


def spoil(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("index.html", '<script src="page.js"></script>', "", "once"),
        ("page.js", '"@TEXTS@"', "{}", "once"),
        ("page.js", "const pause", "const a = `\n`\nconst pause", "several lines"),
        ("page.js", "const pause", "/* why */ const pause", "several lines"),
        ("more.js", "const LEARN_S", "const x = '</script>'\nconst LEARN_S", "end the script"),
        ("texts/de.json", '"free":', '"freed":', "twice"),
        ("texts/nb.json", '"free":', '"fri":', "does not fit"),
        ("texts/nb.json", '"free":', '"more free": "x", "free":', "a space"),
        ("texts/nb.json", '"free":', '"freer": "x", "free":', "does not fit"),
        ("texts/nb.json", '"Rcd":', '"Rcx":', "does not fit"),
        ("texts/nb.json", '"There is no way to {0}."', '"There is none."', "about the cloud"),
        ("texts/en.json", '"Free the cable"', '""', "empty"),
        ("texts/en.json", '"Free the cable"', '"Free\\nit"', "empty"),
    ],
)
def test_what_would_break_the_page_is_refused(copy, file, old, new, told):
    page.page_files()
    spoil(copy / file, old, new)
    with pytest.raises(page.PageError, match=told):
        page.page_files()


def test_a_text_cannot_leave_its_place(copy):
    """Quotes, back strokes and the like are a text's own business."""
    odd = 'A "quote" \\ and ${a} `b` \u2028 <b>'
    file = copy / "texts" / "en.json"
    content = json.loads(file.read_text())
    content["page"]["free"] = odd
    file.write_text(json.dumps(content))
    script = gzip.decompress(page.build_page()).decode()
    found = json.loads(re.search(r"const TEXTS = (\{.*\})$", script, re.MULTILINE)[1])
    assert found["en"].split("\n")[found["keys"].split(" ").index("free")] == odd
