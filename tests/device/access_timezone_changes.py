"""Prints the changes of the clock: argument 1 is a JSON file of [rule, from_s, until_s].

For each rule a line with `second:offset` at `from_s` and at every change until `until_s`. Asked
for the second before each change, in the end backwards, it must give the offset before it.
"""

import json
import sys

from firmware.access.timezone import Timezone
from firmware.access.timezone_text import parse

with open(sys.argv[1]) as f:
    jobs = json.load(f)
for rule, from_s, until_s in jobs:
    timezone = Timezone(parse(rule))
    found = []
    t = from_s
    while t is not None and t < until_s:
        found.append((t, timezone.offset_s(t)))
        t = timezone.next_change_s(t)
    for k in range(len(found) - 1, 0, -1):
        assert timezone.offset_s(found[k][0] - 1) == found[k - 1][1], (rule, found[k])
        assert timezone.next_change_s(found[k][0] - 1) == found[k][0], (rule, found[k])
    print(*[f"{t}:{offset}" for t, offset in found])
