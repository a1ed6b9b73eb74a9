"""Prints when schedules are open, for the host to compare: argument 1 is a JSON file of the jobs.

A job is a rule, a schedule and the seconds to look at: from `start_s`, `count` of them, each
`step_s` after the last. Its two lines are a bit for each, in hex, lowest bit first, and the changes
as `next_change_s` has them. Looked at backwards, so that nothing found before is of use, it must
say the same.
"""

import binascii
import json
import sys

from firmware.access import window  # noqa: F401 -- once for all seconds, not for each
from firmware.access.schedule import Schedule

with open(sys.argv[1]) as f:
    jobs = json.load(f)
for job in jobs:
    schedule = Schedule(job["text"], job["rule"])
    start_s = job["start_s"]
    step_s = job["step_s"]
    count = job["count"]
    bits = bytearray((count + 7) // 8)
    t = start_s
    for i in range(count):
        if schedule.is_open(t):
            bits[i >> 3] |= 1 << (i & 7)
        t += step_s
    end_s = t
    changes = [schedule.next_change_s(start_s)]
    while changes[-1] < end_s:
        changes.append(schedule.next_change_s(changes[-1]))
    k = len(changes) - 1
    for i in range(count - 1, -1, -1):
        t -= step_s
        while k and changes[k - 1] > t:
            k -= 1
        assert schedule.is_open(t) == bool(bits[i >> 3] & 1 << (i & 7)), (job, t)
        assert schedule.next_change_s(t) == changes[k], (job, t, changes[k])
    print(binascii.hexlify(bits).decode())
    print(*[t for t in changes if t < end_s])
