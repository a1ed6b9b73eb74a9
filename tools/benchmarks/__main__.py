"""Run all benchmarks; prints a table of each group and writes build/bench.json."""

from __future__ import annotations

import pathlib
import sys

from tools.benchmarks import contactor, journal, keys, memory, startup, table, uplink

RESULT = pathlib.Path(__file__).resolve().parents[2] / "build" / "bench.json"

GROUPS = (
    ("Contactor (board interpreter, page polled 10 times a second)", contactor.measure, "board"),
    ("Contactor (packaged interpreter, same load)", contactor.measure, "packaged"),
    ("Memory (board interpreter)", memory.measure),
    ("Allocation (board interpreter)", memory.measure_tick),
    ("A list of 1,000 keys (board interpreter)", keys.measure),
    ("Journal, 1,000 sessions of 8 checkpoints (packaged interpreter)", journal.measure),
    ("Uplink through Mosquitto (packaged interpreter)", uplink.measure),
    ("Start (board interpreter)", startup.measure, "board"),
    ("Start (packaged interpreter)", startup.measure, "packaged"),
)


def main():
    groups = {}
    for number, (title, measure, *arguments) in enumerate(GROUPS, 1):
        print(f"[{number}/{len(GROUPS)}] {title} ...", file=sys.stderr, flush=True)
        groups[title] = measure(*arguments)
        print(table.as_text(title, groups[title]), "\n", flush=True)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(table.as_json(groups) + "\n")
    print(f"written to {RESULT.relative_to(RESULT.parents[1])}", file=sys.stderr)


if __name__ == "__main__":
    main()
