"""Fetches the third-party files of third_party.toml, checksums verified: into `lib/` what runs on
the device, and beside it what the tests put into a page.

A file with another checksum is refused, and nothing of its package is put in place. Two packages
are optional: where MicroPython's package index is out of reach the charger runs without its
console, and where npm is, the page's accessibility is not tested.
"""

import hashlib
import os
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from tools.setup.paths import (
    HERE,
    LIB,
    MICROPYTHON,
    ROOT,
    STATE,
    VENV_PYTHON,
    clean_environment,
    replace_file,
    stamped,
    write_stamp,
)  # fmt: skip
from tools.setup.progress import SetupError, Step
from tools.setup.system_packages import program

_OPTIONAL = ("mip", "npm")
_MIP_TIMEOUT_S = 10
_NPM_TIMEOUT_S = 60
_RETRY_S = 24 * 3600


def listed(path: Path = HERE / "third_party.toml") -> list[dict]:
    """The packages of the list, in its order."""
    return tomllib.loads(path.read_text())["package"]


def place(package: dict) -> Path:
    """The folder that the package's files go into."""
    return ROOT / package["into"] if "into" in package else LIB


def in_place(package: dict, folder: Path | None = None) -> bool:
    """Whether the package's folder, or `folder`, holds every file of it with its checksum."""
    folder = folder or place(package)
    return all(_checksum(folder / name) == wanted for name, wanted in package["files"].items())


def put(package: dict, found: Path, folder: Path | None = None) -> None:
    """Copies the package's files from the folder `found` into its own, after checking all of them.

    Raises SetupError if one is missing or has another checksum; then nothing is copied.
    """
    folder = folder or place(package)
    for name, wanted in package["files"].items():
        if not (found / name).is_file():
            raise SetupError(f"{package['name']} {package['version']} does not contain {name}")
        if _checksum(found / name) != wanted:
            raise SetupError(
                f"{name} of {package['name']} {package['version']} has the checksum "
                f"{_checksum(found / name)}, but tools/setup/third_party.toml says {wanted}: "
                f"refused, nothing of it was put into {folder.name}/"
            )
    for name in package["files"]:
        replace_file(folder / name, (found / name).read_bytes())


def _checksum(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def waiting() -> list[dict]:
    """The packages that have to be fetched now."""
    return [package for package in listed() if not in_place(package) and not _given_up(package)]


def optional_missing() -> list[str]:
    """For each optional package that is not there, what that means and what to do."""
    return [
        _LACKS[package["from"]].format(**package)
        for package in listed()
        if package["from"] in _OPTIONAL and not in_place(package)
    ]


_LACKS = {
    "mip": "the charger's service console is off: {name} could not be fetched from MicroPython's "
    "package index (make setup RETRY=1 tries again)",
    "npm": "the page's accessibility cannot be tested: {name} {version} could not be fetched with "
    "npm (on Debian: apt-get install npm; then make setup RETRY=1 tries again)",
}


def _given_up(package: dict) -> bool:
    """Whether this optional package could not be had lately, so that it is not tried every time."""
    if package["from"] not in _OPTIONAL or os.environ.get("RETRY") == "1":
        return False
    if package["from"] == "npm" and not program("npm"):
        return True
    when, _, version = stamped(package["name"]).partition(" ")
    recent = when.isdigit() and 0 <= time.time() - int(when) < _RETRY_S
    return recent and version == package["version"]


def fetch(step: Step, package: dict) -> None:
    """Puts one package in place. Raises SetupError, except for an optional one."""
    step.say(f"{package['name']} {package['version']} ...")
    sources: dict[str, Callable[[Step, dict, Path], Path]] = {
        "sdist": _from_sdist,
        "mip": _from_mip,
        "npm": _from_npm,
    }
    with tempfile.TemporaryDirectory(dir=STATE) as folder:
        try:
            put(package, sources[package["from"]](step, package, Path(folder)))
        except SetupError as error:
            if package["from"] not in _OPTIONAL:
                raise
            with step.log.open("a") as log:
                log.write(f"{error}\n")
            write_stamp(package["name"], f"{int(time.time())} {package['version']}")
            if not str(error).startswith("no answer"):
                step.say(str(error))


def _from_sdist(step: Step, package: dict, folder: Path) -> Path:
    # The archive has no setup.py: pip unpacks it and then gives up. What it unpacked is enough.
    step.run(
        [str(VENV_PYTHON), "-m", "pip", "download", "--no-deps", "--no-binary", ":all:",
         "--no-clean", "--no-build-isolation", "--retries", "2", "--progress-bar", "off",
         "-d", str(folder), f"{package['name']}=={package['version']}"],
        failure="",
        env=clean_environment(TMPDIR=str(folder), PIP_CONSTRAINT="", PIP_NO_INPUT="1"),
        may_fail=True,
    )  # fmt: skip
    first = next(iter(package["files"]))
    found = next((path for path in folder.rglob(first) if path.is_file()), None)
    if found is None:
        raise SetupError(
            f"pip could not fetch {package['name']} {package['version']}; is the internet "
            f"reachable? (what pip said: {step.log})"
        )
    return found.parents[first.count("/")]


def _from_mip(step: Step, package: dict, folder: Path) -> Path:
    # mip does not check the server's certificate: the checksum is what protects here.
    command = f"import mip; mip.install({package['name']!r}, version={package['version']!r}, "
    command += f"mpy=False, target={str(folder)!r})"
    step.run(
        [str(MICROPYTHON), "-c", command],
        failure="",
        env=clean_environment(),
        timeout_s=_MIP_TIMEOUT_S,
        may_fail=True,
    )
    if not any(folder.rglob("*.py")):
        raise SetupError(f"no answer from the package index for {package['name']}")
    return folder


def _from_npm(step: Step, package: dict, folder: Path) -> Path:
    # No install: the archive alone, none of its scripts, and npm's cache goes with the folder.
    step.run(
        ["npm", "pack", f"{package['name']}@{package['version']}", "--ignore-scripts",
         "--cache", str(folder / "cache"), "--pack-destination", str(folder)],
        failure="",
        env=clean_environment(),
        cwd=folder,
        timeout_s=_NPM_TIMEOUT_S,
        may_fail=True,
    )  # fmt: skip
    archive = next(folder.glob("*.tgz"), None)
    if archive is None:
        raise SetupError(f"no answer from npm's registry for {package['name']}")
    try:
        with tarfile.open(archive) as packed:
            for name in package["files"]:
                member = packed.extractfile(f"package/{name}")
                replace_file(folder / "package" / name, member.read())
    except (tarfile.TarError, KeyError, AttributeError):
        pass  # what is missing is named by put()
    return folder / "package"


def remove_leftovers(step: Step) -> None:
    """Removes from lib/ whatever is not on the list, since all of lib/ goes onto the device."""
    kept = {name for package in listed() if place(package) == LIB for name in package["files"]}
    paths = sorted(LIB.rglob("*"), reverse=True) if LIB.is_dir() else []
    gone = [
        path for path in paths if path.is_file() and path.relative_to(LIB).as_posix() not in kept
    ]
    for path in gone:
        path.unlink(missing_ok=True)
    for path in paths:
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    if gone:
        step.say(f"{len(gone)} files that are not in third_party.toml were removed from lib/")
