"""The reference cloud beside the bench: the same program that an operator runs."""

import sys
from pathlib import Path

from tools.bench.companion import Companion
from tools.bench.ports import LOOPBACK

ROOT = Path(__file__).resolve().parents[2]


class Cloud:
    """A running `tools.cloud serve` at the broker on `port`; its database stays in `folder`."""

    def __init__(self, port: int, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.database = folder / "cloud.sqlite"
        arguments = ["serve", "--broker", f"{LOOPBACK}:{port}", "--database", str(self.database)]
        command = [sys.executable, "-m", "tools.cloud", *arguments]
        python = _shown(sys.executable)
        self.report = f"{python} -m tools.cloud report --database {_shown(self.database)}"
        self._program = Companion(command, folder / "cloud.log", ROOT)

    def close(self) -> None:
        """Stop it and wait until it is gone."""
        self._program.close()


def _shown(path: str | Path) -> str:
    """The path as one would type it in the project's folder."""
    path = Path(path)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
