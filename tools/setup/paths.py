"""Where the set-up puts things, and the environment that it gives to other programs."""

import hashlib
import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VENV = ROOT / ".venv"
LIB = ROOT / "lib"
BUILD = ROOT / "build"
BIN = BUILD / "bin"
STATE = BUILD / "setup"  # stamps, the lock, the log and work folders
DOWNLOADS = BUILD / "downloads"

MICROPYTHON = BIN / "micropython"
BOARD_INTERPRETER = BIN / "micropython-board"
VENV_PYTHON = VENV / "bin" / "python"

# A make target's variables (PORT, BOARD, CFLAGS ...) and make's own must not reach the programs
# that the set-up starts; these may: where things are, how to reach the internet, and what the
# person has configured for pip, apt and npm.
_KEPT = ("HOME", "PATH", "USER", "LOGNAME", "TMPDIR", "TERM", "APT_CONFIG", "XDG_CONFIG_HOME")
_KEPT_STARTS = ("PIP_", "npm_config_", "NPM_CONFIG_")
_KEPT_ENDS = ("_proxy", "_PROXY", "_CA_BUNDLE", "_CERT_FILE", "_CERT_DIR", "_CA_CERTS")


def clean_environment(**more: str) -> dict[str, str]:
    """The caller's environment without what could lead another program astray, plus `more`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.endswith(_KEPT_ENDS) or name.startswith(_KEPT_STARTS)
    }
    return {**kept, "LC_ALL": "C.UTF-8", **more}


def digest(*parts: bytes | str) -> str:
    """One SHA-256 over all parts, for stamps."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()


def stamped(name: str) -> str:
    """The content of the stamp `name`, "" if it was never made."""
    try:
        return (STATE / f"{name}.stamp").read_text()
    except OSError:
        return ""


def write_stamp(name: str, text: str) -> None:
    """Records that the step `name` is complete for this content; written last, in one go."""
    replace_file(STATE / f"{name}.stamp", text.encode())


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Puts `data` at `path` so that nobody ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    new.write_bytes(data)
    new.chmod(mode)
    new.replace(path)
