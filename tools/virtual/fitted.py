"""A board with a card reader: its own file, with the example for one put in force.

The makers' boards have no reader that Holdfast can read, so their files only show how one is
described, in a line that is commented out. The bench and the tests do what an installer does:
they take the comment away. So the example is tried at every run, and the rest of the board is the
file as it is flashed.
"""

from __future__ import annotations

import re
from typing import Any

from tools.virtual.process import ROOT

_EXAMPLE = re.compile(r'^    # ("reader": \{.*\},)$', re.M)


def fit_reader(name: str, kind: str = "") -> tuple[str, dict[str, Any]]:
    """Source and BOARD dictionary of firmware/board/`name`.py with a reader.

    `kind` picks one of several examples ("pn532_i2c"). LookupError when the file has none.
    """
    source = (ROOT / "firmware" / "board" / f"{name}.py").read_text()
    for example in _EXAMPLE.finditer(source):
        if kind in example[1]:
            fitted = source[: example.start()] + "    " + example[1] + source[example.end() :]
            names: dict = {}
            exec(compile(fitted, f"firmware/board/{name}.py", "exec"), names)
            return fitted, names["BOARD"]
    raise LookupError(f"The board {name} has no example of a card reader {kind}.")
