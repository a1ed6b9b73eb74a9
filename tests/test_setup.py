"""The set-up: what it accepts, what it refuses, and that a second run finds nothing to do."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tools.setup import debian, interpreters, third_party
from tools.setup.progress import SetupError, Step, last_words

ROOT = Path(__file__).resolve().parents[1]
SETUP = ROOT / "tools" / "setup"

DEB822 = """\
# written by an installer
Types: deb
# a snapshot
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""

EMBEDDED_KEY = """\
Types: deb deb-src
URIs: https://mirror.example/debian
Suites: stable
Components: main
Architectures: amd64
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGPL0BUBEADmW5NdOOHwPIJlgPu6JDcKw/NZJPR8lsD3K87ZM18gzyQZJD+w
 -----END PGP PUBLIC KEY BLOCK-----
"""

ONE_LINE = """\
# deb http://old.example/debian bookworm main
deb cdrom:[Debian GNU/Linux 12]/ bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.example/debian bookworm main
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
deb [trusted=yes] http://third.example/apt ./
deb http://third.example/tool stable/
"""


def field(stanza, name):
    return re.search(rf"(?im)^{name}: *(.*)$", stanza).group(1)


def test_deb822_sources_keep_mirror_and_key_and_change_the_suite():
    (stanza,) = debian.rewrite_sources(DEB822, True, "bookworm", "trixie")
    assert field(stanza, "URIs") == "http://mirror.example/debian"
    assert field(stanza, "Suites") == "trixie"
    assert field(stanza, "Components") == "main"
    assert field(stanza, "Types") == "deb deb-src"
    assert field(stanza, "Signed-By") == "/usr/share/keyrings/debian-archive-keyring.gpg"


def test_deb822_sources_with_an_embedded_key_and_a_suite_word():
    (stanza,) = debian.rewrite_sources(EMBEDDED_KEY, True, "bookworm", "trixie")
    assert "\n -----END PGP PUBLIC KEY BLOCK-----" in stanza
    assert field(stanza, "Suites") == "trixie"
    assert "Architectures" not in stanza


def test_one_line_sources():
    (stanza,) = debian.rewrite_sources(ONE_LINE, False, "bookworm", "trixie")
    assert field(stanza, "URIs") == "http://mirror.example/debian"
    assert field(stanza, "Signed-By") == "/usr/share/keyrings/k.gpg"
    assert field(stanza, "Suites") == "trixie"


def test_another_distribution_keeps_its_own_suite_and_components():
    text = "deb http://mirror.example/ubuntu plucky main universe\n"
    (stanza,) = debian.rewrite_sources(text, False, "plucky", None)
    assert field(stanza, "Suites") == "plucky"
    assert field(stanza, "Components") == "main universe"


@pytest.mark.parametrize(
    "text",
    [
        "Enabled: no\n" + DEB822,
        DEB822.replace("bookworm", "bullseye"),
        "",
        "Types: deb\n\n# only\n",
    ],
)
def test_sources_without_the_release_give_nothing(text):
    assert debian.rewrite_sources(text, True, "bookworm", "trixie") == []


def test_the_distribution_is_tried_before_third_parties_that_use_its_code_name():
    third = debian.rewrite_sources(
        "deb [signed-by=/k/tool.gpg] http://tool.example/apt bookworm main\n",
        False,
        "bookworm",
        "x",
    )
    own = debian.rewrite_sources(DEB822, True, "bookworm", "x")
    assert debian.order_of_trust(third + own) == own + third


@pytest.mark.skipif(not shutil.which("apt-get"), reason="this machine has no apt")
@pytest.mark.parametrize("text, deb822", [(DEB822, True), (EMBEDDED_KEY, True), (ONE_LINE, False)])
def test_apt_itself_understands_the_rewritten_list(tmp_path, text, deb822):
    (stanza,) = debian.rewrite_sources(text, deb822, "bookworm", "trixie")
    (tmp_path / "private.sources").write_text(stanza)
    told = subprocess.run(
        ["apt-get", "-o", "Dir::Etc::sourcelist=/dev/null",
         "-o", f"Dir::Etc::sourceparts={tmp_path}", "-o", f"Dir::State={tmp_path}",
         "update", "--print-uris"],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    asked = set(re.findall(r"'https?://mirror.example/debian/dists/trixie/(\S+)'", told.stdout))
    assert len(asked) == told.stdout.count("'http")  # nothing else is asked for
    assert {Path(name).stem for name in asked} == {"InRelease", "Sources", "Packages"}


@pytest.mark.parametrize(
    "text, version",
    [
        ("v1.25.0+ds-1 on 2025-05-04; linux", (1, 25, 0)),
        ("1.24.1", (1, 24, 1)),
        ("v1.9.4-12-gabc", (1, 9, 4)),
        ("(none)", ()),
        ("", ()),
    ],
)
def test_version_numbers(text, version):
    assert debian.version_of(text) == version


def fake_interpreter(path, version, exit_code=0):
    path.write_text(
        f"#!/bin/sh\necho '3.4.0; MicroPython {version} on 2025-05-04'\nexit {exit_code}\n"
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "version, exit_code, usable",
    [
        ("v1.24.0", 0, "v1.24.0"),
        ("v1.26.1", 0, "v1.26.1"),
        ("v1.23.0", 0, None),
        ("v1.25.0", 1, None),
    ],
)
def test_an_old_or_incomplete_interpreter_on_the_path_is_not_used(
    tmp_path, version, exit_code, usable
):
    assert interpreters.is_usable(fake_interpreter(tmp_path / "m", version, exit_code)) == usable


def test_something_that_is_no_interpreter_is_not_used(tmp_path):
    assert interpreters.is_usable(tmp_path / "nothing") is None


def test_the_interpreter_in_place_is_usable():
    assert interpreters.is_usable(ROOT / "build" / "bin" / "micropython")


def test_the_board_interpreter_has_the_word_and_float_size_of_the_device():
    command = [ROOT / "build" / "bin" / "micropython-board", "-c", interpreters.BOARD_TEST]
    assert subprocess.run(command, capture_output=True, text=True).stdout.split() == [
        "True",
        "True",
    ]


def package(content=b"x = 1\n", name="thing/thing.py"):
    checksum = hashlib.sha256(content).hexdigest()
    return {"name": "thing", "version": "1", "from": "sdist", "files": {name: checksum}}


def test_a_file_with_the_right_checksum_is_put_into_lib(tmp_path):
    (tmp_path / "found" / "thing").mkdir(parents=True)
    (tmp_path / "found" / "thing" / "thing.py").write_bytes(b"x = 1\n")
    third_party.put(package(), tmp_path / "found", tmp_path / "lib")
    assert third_party.in_place(package(), tmp_path / "lib")


def test_a_file_with_another_checksum_is_refused_and_nothing_is_copied(tmp_path):
    (tmp_path / "found" / "thing").mkdir(parents=True)
    (tmp_path / "found" / "thing" / "__init__.py").write_bytes(b"")
    (tmp_path / "found" / "thing" / "thing.py").write_bytes(b"x = 2  # not what was pinned\n")
    wanted = package()
    wanted["files"] = {"thing/__init__.py": hashlib.sha256(b"").hexdigest(), **wanted["files"]}
    with pytest.raises(SetupError, match="refused") as refusal:
        third_party.put(wanted, tmp_path / "found", tmp_path / "lib")
    assert "thing/thing.py" in str(refusal.value)
    assert not (tmp_path / "lib").exists()


def test_a_file_that_is_not_in_the_package_is_named(tmp_path):
    with pytest.raises(SetupError, match="does not contain thing/thing"):
        third_party.put(package(), tmp_path, tmp_path / "lib")


def test_the_list_pins_a_version_and_a_checksum_for_every_file_in_lib():
    listed = third_party.listed()
    names = ["micropython-umqtt.simple", "aiorepl", "axe-core"]
    assert [entry["name"] for entry in listed] == names
    for entry in listed:
        assert re.fullmatch(r"[\d.]+", entry["version"])
        assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in entry["files"].values())
        assert entry["from"] in ("mip", "npm") or third_party.in_place(entry), entry["name"]
    device = [entry for entry in listed if third_party.place(entry) == ROOT / "lib"]
    assert [entry["name"] for entry in device] == names[:2]
    names = {name for entry in device for name in entry["files"]}
    present = {path.relative_to(ROOT / "lib").as_posix() for path in (ROOT / "lib").rglob("*.py")}
    assert present <= names


@pytest.mark.parametrize("content", [b"axe = 1\n", b"axe = 2\n"])
def test_an_archive_from_npm_is_fetched_alone_and_checked(tmp_path, monkeypatch, content):
    """A program in npm's place makes the archive; what it was asked for is written down."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "axe.min.js").write_bytes(content)
    (tmp_path / "bin").mkdir()
    npm = tmp_path / "bin" / "npm"
    npm.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ntar czf thing-1.tgz -C {tmp_path} package\n'
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(third_party, "ROOT", tmp_path)
    monkeypatch.setattr(third_party, "write_stamp", lambda *stamp: stamps.append(stamp))
    stamps = []
    wanted = {**package(b"axe = 1\n", "axe.min.js"), "from": "npm", "into": "there"}
    third_party.fetch(Step(1, 1, "test", tmp_path / "log"), wanted)
    assert (tmp_path / "asked").read_text().startswith("pack thing@1 --ignore-scripts ")
    if content == b"axe = 1\n":
        assert (tmp_path / "there" / "axe.min.js").read_bytes() == content and not stamps
    else:
        assert not (tmp_path / "there").exists() and stamps[0][0] == "thing"
        assert "refused" in (tmp_path / "log").read_text()


def test_without_npm_the_setup_says_what_to_do(monkeypatch):
    monkeypatch.setattr(third_party, "program", lambda *names: None)
    monkeypatch.setattr(third_party, "in_place", lambda package: False)
    assert "axe-core" not in [package["name"] for package in third_party.waiting()]
    told = [sentence for sentence in third_party.optional_missing() if "axe-core" in sentence]
    assert len(told) == 1 and "install npm" in told[0] and "RETRY=1" in told[0]


def test_every_python_package_has_an_exact_version_and_checksums():
    text = (SETUP / "requirements.txt").read_text()
    entries = [entry for entry in re.split(r"\n(?=[a-z])", text) if not entry.startswith("#")]
    assert len(entries) > 10
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==[\w.]+ ", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_no_registry_or_mirror_is_named_in_the_repository():
    # Put together here so that this file does not name them either.
    hosts = ["pypi" + ".org", "pythonhosted" + ".org", "debian" + ".org", "micropython" + ".org/pi"]
    hosts += ["npmjs" + ".org"]
    for path in [*SETUP.rglob("*"), ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / ".ci/run"]:
        if path.is_file() and "__pycache__" not in path.parts:
            text = path.read_text()
            assert not [host for host in hosts if host in text], path


def test_a_program_that_fails_ends_in_a_sentence_with_what_it_said_last(tmp_path):
    step = Step(1, 1, "test", tmp_path / "log")
    with pytest.raises(SetupError) as failure:
        step.run(
            ["sh", "-c", "echo fine; echo 'E: no such mirror' >&2; exit 3"], failure="apt refused"
        )
    assert str(failure.value).startswith("apt refused:\n  E: no such mirror")
    assert "fine" in (tmp_path / "log").read_text()


def test_a_program_that_hangs_is_stopped(tmp_path):
    began = time.monotonic()
    with pytest.raises(SetupError, match="took too long"):
        Step(1, 1, "test", tmp_path / "log").run(["sleep", "30"], failure="slow", timeout_s=0.5)
    assert time.monotonic() - began < 10


def test_a_program_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(SetupError, match="no-such-program: No such"):
        Step(1, 1, "test", tmp_path / "log").run(["no-such-program"], failure="cannot start")


def test_last_words_prefer_errors():
    assert last_words("a\nERROR: hashes differ\nb\n") == "  ERROR: hashes differ"
    assert last_words("") == ""


def test_a_second_run_does_nothing_and_is_quick():
    stamps = {path: path.stat().st_mtime_ns for path in (ROOT / "build" / "setup").glob("*.stamp")}
    began = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-m", "tools.setup"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    took = time.monotonic() - began
    assert run.returncode == 0, run.stderr
    assert run.stdout == ""
    assert "[" not in run.stderr, "a step had something to do"
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert took < 2


def test_headless_says_nothing():
    run = subprocess.run(
        [sys.executable, "-m", "tools.setup"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "HEADLESS": "1"},
        timeout=60,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_make_alone_lists_the_targets():
    listing = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60).stdout
    for target in ("run", "test", "check", "flash", "bench", "soak", "setup", "clean"):
        assert f"make {target}" in listing


def test_wrong_calls_in_device_code_are_reported(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import time\nfrom machine import Pin\n\n\n"
        "def start():\n    Pin(1, foo=2)\n    time.ticks_foo()\n    time.perf_counter()\n"
    )
    right = tmp_path / "right.py"
    right.write_text(
        "import asyncio\nimport time\n\nfrom machine import Pin\nfrom micropython import const\n\n"
        "_LED = const(2)\n\n\nasync def blink():\n    pin = Pin(_LED, Pin.OUT, value=0)\n"
        "    while True:\n        pin.value(1 - pin.value())\n"
        "        print(time.ticks_diff(time.ticks_ms(), 0))\n        await asyncio.sleep_ms(100)\n"
    )
    told = {
        path.stem: subprocess.run(
            [sys.executable, "-m", "tools.setup.type_check", str(path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        for path in (wrong, right)
    }
    assert told["right"].returncode == 0, told["right"].stdout
    assert told["wrong"].returncode == 1
    for words in ('argument "foo" for "Pin"', '"ticks_foo"', '"perf_counter"'):
        assert words in told["wrong"].stdout


def test_pyproject_and_list_are_valid_toml():
    tomllib.loads((ROOT / "pyproject.toml").read_text())
    tomllib.loads((SETUP / "third_party.toml").read_text())
