"""What the reconnect rules must reach, from the simulation: python -m tools.fleet has the rest."""

from __future__ import annotations

from tools.benchmarks.table import Row
from tools.fleet import scenarios
from tools.fleet.scenarios import NO_HINT, OURS

_SEED = 1  # that of docs/fleet.md
_FLEET = (100_000, 500)  # chargers, and what the cloud takes in a second
_MILLION = (1_000_000, 5_000)
_BASELINE = "full jitter"
_TWO_HOURS_S = 7200


def _run(name, rule=OURS, size=_FLEET):
    return scenarios.run(name, rule, *size, _SEED)


def measure():
    rows = []
    for cloud, name in (("shedding", "dropped-shed"), ("FIFO", "dropped-fifo")):
        ours, baseline = _run(name), _run(name, _BASELINE)
        rows += [
            Row(f"peak / capacity, {cloud}", ours.peak, "x", _BASELINE, baseline.peak),
            Row(f"the same after a second, {cloud}", ours.peak_later, "x", "capacity", 1),
            Row(f"attempts each, {cloud}", ours.per_client, "", _BASELINE, baseline.per_client),
            Row(f"95 % back, {cloud}", ours.back_95_s, "s", "ideal", ours.ideal_s),
            Row(f"all back, {cloud}", ours.back_all_s, "s", "ideal", ours.ideal_s),
        ]
        quarter = _run(name.replace("dropped", "quarter"))
        named = f"all back at a quarter of the capacity, {cloud}"
        rows.append(Row(named, quarter.back_all_s, "s", "ideal", quarter.ideal_s))
    alone = _run("quarter-fifo", NO_HINT)
    named = "the same without a hint, FIFO"
    rows.append(Row(named, alone.back_all_s, "s", "two hours", _TWO_HOURS_S))
    stuck = _run("policies")
    fifth = "a fifth of the window"
    named = "95 % of the stuck tenth back"
    rows.append(Row(named, stuck.stuck_95_s, "s", fifth, stuck.window_s / 5))
    for name in ("dropped-shed", "dropped-fifo", "quarter-shed", "quarter-fifo"):
        many = _run(name, size=_MILLION)
        what = f"a million, {scenarios.SCENARIOS[name].title}: "
        rows += [
            Row(what + "peak / capacity", many.peak, "x", "capacity", 1),
            Row(what + "all back", many.back_all_s, "s", "ideal", many.ideal_s),
        ]
    return rows
