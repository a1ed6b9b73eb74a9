"""The rows of a simulation as a table for people, as Markdown, JSON and a picture."""

from __future__ import annotations

import dataclasses
import json
import math

from tools.fleet.scenarios import NO_HINT, OURS, SCENARIOS

HEADER = (
    "rule",
    "peak / capacity",
    "attempts each",
    "95 % back, s",
    "all back, s",
    "x ideal",
    "of note",
)
_COLORS = {
    "fixed 5 s": "#8c564b",
    "exponential": "#e377c2",
    "full jitter": "#ff7f0e",
    "decorrelated": "#bcbd22",
    "OCPP 2.0.1": "#9467bd",
    "Zaptec": "#7f7f7f",
    OURS: "#0055aa",
    NO_HINT: "#55aadd",
}


def _seconds(row, value):
    return f"{value:,.0f}" if math.isfinite(value) else f"> {row.watched_s:,.0f}"


def _note(row):
    notes = []
    if row.share_back < 1:
        notes.append(f"{row.share_back:.1%} back")
        if row.hopeless:
            notes.append("nobody for half an hour")
    if math.isfinite(row.stuck_95_s):
        fifth = row.window_s / 5
        notes.append(
            f"95 % of the stuck after {row.stuck_95_s:.0f} s (a fifth of the window: {fifth:.0f} s)"
            f", of those that need the cloud {row.needs_cloud_95_s:.0f} s,"
            f" of the rest {row.others_95_s:.0f} s"
        )
    if math.isfinite(row.ours_95_s):
        notes.append(f"95 % of Holdfast's half {row.ours_95_s:,.0f} s")
    if SCENARIOS[row.scenario].backlog:
        notes.append(f"backlog uploaded {_seconds(row, row.backlog_s)} s")
    return "; ".join(notes)


def cells(row):
    """One line of the table, a text for each of HEADER."""
    ratio = row.back_all_s / row.ideal_s
    return (
        row.rule,
        f"{row.peak:.2f}",
        f"{row.per_client:.2f}",
        _seconds(row, row.back_95_s),
        _seconds(row, row.back_all_s),
        f"{ratio:.2f}" if math.isfinite(ratio) else "never",
        _note(row),
    )


def _grouped(rows):
    return {
        name: group
        for name in SCENARIOS
        if (group := [row for row in rows if row.scenario == name])
    }


def as_text(rows):
    """Aligned columns, one block for each scenario."""
    table = {name: [cells(row) for row in group] for name, group in _grouped(rows).items()}
    lines = [HEADER] + [line for group in table.values() for line in group]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER) - 1)]

    def aligned(line):
        first = f"  {line[0]:<{widths[0]}}"
        rest = "".join(
            f"  {text:>{width}}" for text, width in zip(line[1:-1], widths[1:], strict=True)
        )
        return f"{first}{rest}  {line[-1]}".rstrip()

    out = [aligned(HEADER)]
    for name, group in table.items():
        ideal_s = next(row.ideal_s for row in rows if row.scenario == name)
        out.append(f"{SCENARIOS[name].title} (ideal {ideal_s:,.0f} s)")
        out += [aligned(line) for line in group]
    return "\n".join(out)


def as_markdown(rows):
    """The same for docs/fleet.md."""
    out = []
    for name, group in _grouped(rows).items():
        out.append(f"\n**{SCENARIOS[name].title}** (ideal {group[0].ideal_s:,.0f} s)\n")
        out.append("| " + " | ".join(HEADER) + " |")
        out.append("| --- | " + "---: | " * (len(HEADER) - 2) + "--- |")
        out += ["| " + " | ".join(cells(row)) + " |" for row in group]
    return "\n".join(out) + "\n"


SUMMED_UP = {"dropped-shed": "shedding", "dropped-fifo": "FIFO"}


def as_summary(rows):
    """README.md's table: peak, attempts and 95 % before the two kinds of cloud, a line a rule."""
    groups = [{row.rule: cells(row) for row in rows if row.scenario == name} for name in SUMMED_UP]
    head = [f"{what} ({kind})" for kind in SUMMED_UP.values() for what in HEADER[1:4]]
    lines = [[rule, *(cell for group in groups for cell in group[rule][1:4])] for rule in groups[0]]
    out = ["| " + " | ".join([HEADER[0], *head]) + " |", "| --- |" + " ---: |" * len(head)]
    out += ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(out)


def as_json(rows, size, capacity, seed):
    """All figures, without the curves; null for never."""
    figures = []
    for row in rows:
        figure = dataclasses.asdict(row)
        del figure["attempts"], figure["back"]
        figures.append(
            {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in figure.items()
            }
        )
    head = {"chargers": size, "connects_per_s": capacity, "seed": seed}
    return json.dumps({**head, "rows": figures}, indent=1) + "\n"


def draw(rows, size, capacity, path):
    """Four panels: the storm, and how the fleet comes back in three of the scenarios."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(11, 7), dpi=110)
    panels = (
        ("dropped-shed", "attempts", 1.5, "attempts per second"),
        ("dropped-fifo", "back", 4, "back, %"),
        ("quarter-shed", "back", 10, "back, %"),
        ("quarter-fifo", "back", 36, "back, %"),
    )
    for axis, (name, what, spans, label) in zip(axes.flat, panels, strict=True):
        scenario = SCENARIOS[name]
        last = round(spans * size / capacity)
        for row in rows:
            if row.scenario != name:
                continue
            values = getattr(row, what)[:last]
            if what == "back":
                values = [0.0] + [100 * value / size for value in values]
                values += values[-1:] * (last + 1 - len(values))  # as it was when the run ended
            ours = row.rule in (OURS, NO_HINT)
            axis.plot(
                values,
                label=row.rule,
                color=_COLORS[row.rule],
                linewidth=2.4 if ours else 1.0,
                zorder=3 if ours else 2,
            )
        if what == "attempts":
            axis.set_yscale("log")
            axis.axhline(capacity, color="black", linewidth=0.8, linestyle="--")
            axis.text(last, capacity * 1.15, "capacity", ha="right", fontsize=8)
        axis.set_title(scenario.title, fontsize=10)
        axis.set_xlabel("seconds", fontsize=9)
        axis.set_ylabel(label, fontsize=9)
        axis.grid(alpha=0.25)
    axes.flat[3].legend(*axes.flat[2].get_legend_handles_labels(), fontsize=8)
    figure.suptitle(f"{size:,} chargers come back to a cloud that takes {capacity:,} a second")
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)
