"""Rows of figures, each with its baseline: printed as a table, written as JSON."""

from __future__ import annotations

import dataclasses
import json


@dataclasses.dataclass
class Row:
    """One figure; `ratio` is value over baseline, None where the two have no common unit."""

    what: str
    value: float
    unit: str
    baseline: str
    baseline_value: float

    @property
    def ratio(self):
        return self.value / self.baseline_value if self.baseline_value else None


def _number(value):
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"


def as_text(title, rows):
    """The rows under a title, in aligned columns."""
    cells = [("", "", "baseline", "", "ratio")]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        cells.append(
            (
                row.what,
                f"{_number(row.value)} {row.unit}",
                row.baseline,
                f"{_number(row.baseline_value)} {row.unit}",
                ratio,
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    lines = [title]
    for what, value, baseline, baseline_value, ratio in cells:
        lines.append(
            f"  {what:<{widths[0]}}  {value:>{widths[1]}}   {baseline:<{widths[2]}}"
            f"  {baseline_value:>{widths[3]}}  {ratio:>{widths[4]}}".rstrip()
        )
    return "\n".join(lines)


def as_json(groups):
    """{title: [row, ...]} as JSON text."""
    return json.dumps(
        {
            title: [{**dataclasses.asdict(row), "ratio": row.ratio} for row in rows]
            for title, rows in groups.items()
        },
        indent=1,
    )
