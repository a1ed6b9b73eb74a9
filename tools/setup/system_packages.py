"""The few things that need root: a 32-bit C compiler, a broker, a browser, Python's venv module.

What is there already is used. The rest is installed with apt when the set-up is root or sudo needs
no password; otherwise the exact command is printed and the set-up stops. It never asks for a
password and touches no other package.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.setup.paths import clean_environment
from tools.setup.progress import SetupError, Step

_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # where brokers lie, and not on every user's PATH
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_WORD_TEST = (
    "#include <stdio.h>\n#include <errno.h>\n"
    'int main(void) { printf("%d\\n", (int)sizeof(void *)); return 0; }\n'
)
# How to make 32-bit programs, best first: make's variables, and what provides the compiler on a
# processor as Debian names it. A static program needs no 32-bit libraries on a 64-bit machine.
_COMPILERS = (
    ((), None),  # a machine that is 32-bit itself
    (("MICROPY_FORCE_32BIT=1",), "amd64"),
    (("CROSS_COMPILE=arm-linux-gnueabihf-", "LDFLAGS_EXTRA=-static"), "arm64"),
)
_COMPILER_PACKAGES = {
    "amd64": ["gcc-multilib"],
    "arm64": ["gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross"],
}


def program(*names: str) -> str | None:
    """The path of the first of these programs that is installed, also outside the PATH."""
    path = os.environ.get("PATH", "") + os.pathsep + _SBIN
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def compiler_for_32_bits() -> tuple[str, ...] | None:
    """The make variables that build 32-bit programs which run here; None if there is no way."""
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "words.c"), Path(folder, "words")
        source.write_text(_WORD_TEST)
        for variables, _ in _COMPILERS:
            settings = dict(variable.split("=", 1) for variable in variables)
            command = [settings.get("CROSS_COMPILE", "") + "gcc", str(source), "-o", str(binary)]
            command += ["-m32"] if "MICROPY_FORCE_32BIT" in settings else []
            command += settings.get("LDFLAGS_EXTRA", "").split()
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=60)
                shown = subprocess.run([str(binary)], capture_output=True, timeout=10)
            except (OSError, subprocess.SubprocessError):
                continue
            if shown.stdout.strip() == b"4":
                return variables
    return None


def missing_packages(need_compiler: bool, need_venv: bool) -> list[str]:
    """The Debian packages that would have to be installed; [] if everything is there."""
    packages = []
    if need_compiler and (not program("gcc") or not compiler_for_32_bits()):
        packages += [] if program("gcc") else ["gcc", "libc6-dev"]
        packages += _COMPILER_PACKAGES.get(_architecture(), ["gcc-multilib"])
    if need_compiler and not program("make"):
        packages.append("make")
    if need_venv and not importlib.util.find_spec("ensurepip"):
        packages.append(f"python3.{sys.version_info.minor}-venv")
    if not program("mosquitto"):
        packages.append("mosquitto")
    if not program(*_BROWSERS):
        packages.append("chromium")
    return packages


def install(step: Step, packages: list[str]) -> None:
    """Installs `packages` with apt, or raises SetupError with the command for the person to run."""
    options = ["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
    by_hand = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(packages)}"
    sudo = _sudo()
    if sudo is None or not program("apt-get"):
        raise SetupError(
            f"these Debian packages are missing and need root: {' '.join(packages)}. Please run\n\n"
            f"    sudo sh -c '{by_hand}'\n\nand then make again"
        )
    environment = clean_environment(DEBIAN_FRONTEND="noninteractive")
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    had_broker = program("mosquitto")
    step.say(f"installing {' '.join(packages)} with apt (about a minute) ...")
    code, _ = step.run(
        [*apt, *options, *packages], failure="apt refused", env=environment, may_fail=True
    )
    if code:  # most often the lists are absent or old
        step.run([*apt, "update"], failure="apt-get update failed", env=environment)
        step.run(
            [*apt, *options, *packages],
            failure=f"apt would not install {' '.join(packages)}; by hand: {by_hand}; apt said",
            env=environment,
        )
    if not had_broker and program("mosquitto") and Path("/run/systemd/system").is_dir():
        # Debian starts a broker of its own on port 1883, which is the one that Holdfast starts.
        step.run([*sudo, "systemctl", "disable", "--now", "mosquitto"], failure="", may_fail=True)
        step.say("mosquitto's system service is switched off: Holdfast starts its own broker")


def _sudo() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    try:
        allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return ["sudo", "-n"] if allowed.returncode == 0 else None


def _architecture() -> str:
    try:
        shown = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True)
    except OSError:
        return ""
    return shown.stdout.strip()
