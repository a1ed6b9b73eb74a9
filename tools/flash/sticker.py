"""What is stuck onto a charger: its name, its WiFi as text and as a QR code, its PIN.

The QR code is what phones offer to join: WIFI:T:WPA;S:name;P:password;; as the ZXing project has
described it, with a backslash before each of the characters that mean something in it.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import segno

from firmware.web.radio import ADDRESS, network_name

FOLDER = Path(__file__).resolve().parents[2] / "build" / "stickers"
_QUIET = 4  # modules that stay light around a code (ISO/IEC 18004)
_LIGHT_ON_DARK = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
_DARK_ON_LIGHT = {(0, 0): " ", (0, 1): "▄", (1, 0): "▀", (1, 1): "█"}


@dataclass
class Sticker:
    """What is known of a charger; `pin` is empty when it was made at an earlier flash."""

    charger_id: str
    password: str
    pin: str = ""

    @property
    def network(self) -> str:
        return network_name(self.charger_id)

    @property
    def code(self) -> str:
        """The text of the QR code."""
        name, password = (re.sub(r'([\\;,:"])', r"\\\1", t) for t in (self.network, self.password))
        return f"WIFI:T:WPA;S:{name};P:{password};;"


def _modules(code: str) -> list[list[int]]:
    """The QR code row by row, 1 is dark, with its quiet zone."""
    return [list(row) for row in segno.make_qr(code, error="m").matrix_iter(border=_QUIET)]


def terminal(sticker: Sticker, colour: bool) -> str:
    """The QR code as lines of half blocks; without `colour` for light letters on a dark screen."""
    rows = _modules(sticker.code)
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    blocks = _DARK_ON_LIGHT if colour else _LIGHT_ON_DARK
    before, after = ("\x1b[30;107m", "\x1b[0m") if colour else ("", "")
    return "\n".join(
        before + "".join(blocks[pair] for pair in zip(upper, lower, strict=True)) + after
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    )


_SHEET = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 340" width="74mm" height="34mm">
<title>Sticker of the charger {title}</title>
<rect x="1" y="1" width="738" height="338" rx="16" fill="#fff" stroke="#000" stroke-width="2"/>
<g transform="translate(8 20) scale({scale:.4f})"><path fill="#000" d="{path}"/></g>
<g fill="#000" font-family="DejaVu Sans, Verdana, Arial, sans-serif">
{text}
</g>
</svg>
"""
_LABEL = '<text x="322" y="{y}" font-size="19">{text}</text>'
_VALUE = (
    '<text x="322" y="{y}" font-size="{size:.1f}" font-weight="bold" '
    'font-family="DejaVu Sans Mono, Consolas, Menlo, monospace">{text}</text>'
)


def svg(sticker: Sticker) -> str:
    """The sticker as a picture of 74 by 34 mm, to print at its own size."""
    rows = _modules(sticker.code)
    path = "".join(
        f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark
    )
    lines = [("Charger", sticker.charger_id), ("WiFi: scan, or join", sticker.network)]
    lines += [("Password", sticker.password)]
    if sticker.pin:
        lines += [("PIN", sticker.pin)]
    lines += [("Page", f"http://{ADDRESS}")]
    step = 300 // len(lines)
    text = []
    for number, (label, value) in enumerate(lines):
        y = 38 + number * step
        text.append(_LABEL.format(y=y, text=label))
        size = min(29.0, 405 / 0.61 / len(value))  # a letter is 0.6 of its size wide
        text.append(_VALUE.format(y=y + 28, size=size, text=escape(value)))
    title = escape(sticker.charger_id)
    return _SHEET.format(title=title, scale=300 / len(rows), path=path, text="\n".join(text))


def save(sticker: Sticker, folder: Path) -> Path:
    """Write the picture into `folder`, for nobody else's eyes; where it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{sticker.charger_id}.svg"
    part = folder / f".{sticker.charger_id}.{os.getpid()}"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(svg(sticker))
    part.replace(path)
    return path
