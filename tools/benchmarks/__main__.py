"""`python -m tools.benchmarks [word ...]`: run the benchmarks and print a table of each group.

With words, only the groups that have one of them in their title; without, build/bench.json is
written as well.
"""

from __future__ import annotations

import pathlib
import sys

from tools.benchmarks import (
    contactor,
    fleet,
    journal,
    keys,
    memory,
    page,
    startup,
    table,
    uplink,
    web,
)

RESULT = pathlib.Path(__file__).resolve().parents[2] / "build" / "bench.json"

GROUPS = (
    ("Contactor (board interpreter, page polled 10 times a second)", contactor.measure, "board"),
    ("Contactor (packaged interpreter, same load)", contactor.measure, "packaged"),
    ("Memory (board interpreter)", memory.measure),
    ("Allocation (board interpreter)", memory.measure_tick),
    ("A list of 1,000 keys (board interpreter)", keys.measure),
    ("Journal, 1,000 sessions of 8 checkpoints (packaged interpreter)", journal.measure),
    ("Uplink through Mosquitto (packaged interpreter)", uplink.measure),
    ("Return of a fleet of 100,000, simulated, ideal 200 s", fleet.measure),
    ("The page, bytes over the air", page.measure),
    ("Web: heap with phones, list and uplink (board interpreter)", web.measure_heap),
    (
        "Web: the same with reader, schedule and an installer (board interpreter)",
        web.measure_heap,
        True,
    ),
    ("Web: the tick under attack (board interpreter)", web.measure_attacks),
    ("Start (board interpreter)", startup.measure, "board"),
    ("Start (packaged interpreter)", startup.measure, "packaged"),
)


def main():
    words = [word.lower() for word in sys.argv[1:]]
    if any(word.startswith("-") for word in words):
        print(__doc__)
        return
    chosen = [g for g in GROUPS if not words or any(word in g[0].lower() for word in words)]
    groups = {}
    for number, (title, measure, *arguments) in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {title} ...", file=sys.stderr, flush=True)
        groups[title] = measure(*arguments)
        print(table.as_text(title, groups[title]), "\n", flush=True)
    if words:
        return
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(table.as_json(groups) + "\n")
    print(f"written to {RESULT.relative_to(RESULT.parents[1])}", file=sys.stderr)


if __name__ == "__main__":
    main()
