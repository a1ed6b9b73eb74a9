"""Runs the simulation; prints the table, writes docs/fleet.png and build/fleet.json.

python -m tools.fleet --help lists the arguments.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pathlib
import random
import sys

from tools.fleet import report, scenarios

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _run(job):
    return scenarios.run(*job)


def _bar(done, total, what):
    if sys.stderr.isatty():
        filled = 30 * done // total
        line = f"\r\033[K[{'#' * filled}{'.' * (30 - filled)}] {done}/{total} {what}"
        print(line[:100], end="", file=sys.stderr, flush=True)
    elif done % 10 == 0 or done == total:
        print(f"[{done}/{total}]", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(prog="python -m tools.fleet", description=__doc__)
    parser.add_argument("--chargers", type=int, default=100_000)
    parser.add_argument("--capacity", type=int, default=500, help="connects per second")
    parser.add_argument("--seed", type=int, help="printed; without it a new one each time")
    parser.add_argument("--only", nargs="+", choices=scenarios.SCENARIOS, metavar="SCENARIO")
    parser.add_argument(
        "--million", action="store_true", help="1,000,000 at 5,000 a second, Holdfast only"
    )
    parser.add_argument(
        "--patient", action="store_true", help="watch hopeless runs to their end too"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at once")
    parser.add_argument("--markdown", action="store_true", help="the table as docs/fleet.md has it")
    parser.add_argument(
        "--summary", action="store_true", help="README.md's table: a fleet that is dropped at once"
    )
    parser.add_argument("--picture", type=pathlib.Path, default=ROOT / "docs" / "fleet.png")
    arguments = parser.parse_args()
    size, capacity = arguments.chargers, arguments.capacity
    names = arguments.only or list(scenarios.SCENARIOS)
    if arguments.summary:
        names = list(report.SUMMED_UP)
    if arguments.million:
        size, capacity = 1_000_000, 5_000
        names = arguments.only or ["dropped-shed", "dropped-fifo", "quarter-shed", "quarter-fifo"]
    seed = random.randrange(1 << 30) if arguments.seed is None else arguments.seed
    print(f"{size:,} chargers, {capacity:,} connects/s, seed {seed}", file=sys.stderr)
    jobs = [
        (name, rule, size, capacity, seed, arguments.patient)
        for name in names
        for rule in scenarios.SCENARIOS[name].rules
        if not arguments.million or rule == scenarios.OURS
    ]
    rows = []
    with multiprocessing.Pool(max(1, min(arguments.jobs, len(jobs)))) as pool:
        for row in pool.imap_unordered(_run, jobs):
            rows.append(row)
            _bar(len(rows), len(jobs), f"{row.scenario}: {row.rule}")
    print(file=sys.stderr)
    order = [job[:2] for job in jobs]
    rows.sort(key=lambda row: order.index((row.scenario, row.rule)))
    if arguments.summary:
        print(report.as_summary(rows))
        return
    print(report.as_markdown(rows) if arguments.markdown else report.as_text(rows))
    figures = ROOT / "build" / "fleet.json"
    figures.parent.mkdir(parents=True, exist_ok=True)
    figures.write_text(report.as_json(rows, size, capacity, seed))
    if not arguments.only and not arguments.million:
        report.draw(rows, size, capacity, arguments.picture)
        print(f"picture: {arguments.picture}", file=sys.stderr)


if __name__ == "__main__":
    main()
