"""Fills `.venv/` with the Python packages of requirements.txt: these versions, these checksums."""

import sys

from tools.setup.paths import HERE, VENV, VENV_PYTHON, clean_environment, digest, replace_file
from tools.setup.progress import Step

_REQUIREMENTS = HERE / "requirements.txt"
_STAMP = VENV / "holdfast.stamp"


def _wanted() -> str:
    return digest(_REQUIREMENTS.read_bytes(), f"{sys.version_info[:2]}")


def complete() -> bool:
    """Whether .venv holds what requirements.txt lists, for this Python."""
    try:
        return _STAMP.read_text() == _wanted() and VENV_PYTHON.exists()
    except OSError:
        return False


def present() -> bool:
    """Whether there is a .venv of this Python that packages can be installed into."""
    library = VENV / "lib" / f"python3.{sys.version_info.minor}" / "site-packages" / "pip"
    return VENV_PYTHON.exists() and library.is_dir()


def install(step: Step) -> None:
    """Makes or updates .venv. An interrupted run is taken up again by the next one."""
    python = getattr(sys, "_base_executable", sys.executable)  # also when .venv is activated
    # A machine's own constraints carry no checksums, which pip refuses next to ours; a configured
    # mirror goes on working.
    env = clean_environment(
        PIP_CONSTRAINT="", PIP_USER="0", PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1",
        PYTHONNOUSERSITE="1",
    )  # fmt: skip
    if not present():
        step.say("making .venv ...")
        clear = ["--clear"] if VENV.is_dir() else []
        step.run(
            [python, "-m", "venv", *clear, str(VENV)],
            failure="the virtual environment .venv could not be made",
            env=env,
        )
    step.say("installing the Python packages (about 30 s, 60 MB) ...")
    code, output = step.run(
        [str(VENV_PYTHON), "-m", "pip", "install", "--require-hashes", "--retries", "2",
         "--progress-bar", "off", "-r", str(_REQUIREMENTS)],
        failure="pip could not be started",
        env=env,
        may_fail=True,
    )  # fmt: skip
    if "DO NOT MATCH THE HASHES" in output:
        raise step.failure(
            "a Python package does not have the checksum that tools/setup/requirements.txt says, "
            "and was refused; pip said",
            output,
        )
    if code:
        raise step.failure(
            "the Python packages could not be installed; is the internet reachable? pip said",
            output,
        )
    replace_file(_STAMP, _wanted().encode())
