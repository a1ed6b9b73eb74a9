"""The wall clock of records that were written before it was known.

Any record with a wall clock anchors all others of its boot. A boot without one lies between its
neighbours: its records get bounds and are marked uncertain.
"""


def boots(records):
    """{boot: [utc_s at uptime 0 or None, quality, first uptime_s, last uptime_s]} of dicts.

    Records are those of fields.unpack, in any order; of several anchors the best quality counts,
    and of equal ones the last that comes.
    """
    found = {}
    for record in records:
        if "boot" not in record:
            continue  # a lost range
        uptime_s = record["uptime_s"]
        boot = found.setdefault(record["boot"], [None, 0, uptime_s, uptime_s])
        boot[2] = min(boot[2], uptime_s)
        boot[3] = max(boot[3], uptime_s)
        if record["utc_s"] is not None and record["quality"] >= boot[1]:
            boot[0] = record["utc_s"] - uptime_s
            boot[1] = record["quality"]
    return found


def place(record, found):
    """Fill in `utc_s` of a record from boots(), or else the bounds that are known.

    These are `not_before_s` and `not_after_s`, in seconds since 2000, or None.

    Sets `uncertain`: True if `utc_s` stays None. What a record said itself is not changed.
    """
    if "boot" not in record:
        return record
    boot = found[record["boot"]]
    if record["utc_s"] is None and boot[0] is not None:
        record["utc_s"] = boot[0] + record["uptime_s"]
        record["quality"] = boot[1]
    record["uncertain"] = record["utc_s"] is None
    if record["uncertain"]:
        before = [number for number in found if number < record["boot"] and found[number][0]]
        after = [number for number in found if number > record["boot"] and found[number][0]]
        record["not_before_s"] = record["not_after_s"] = None
        if before:
            near = found[max(before)]
            record["not_before_s"] = near[0] + near[3] + record["uptime_s"]
        if after:
            near = found[min(after)]
            record["not_after_s"] = near[0] - (boot[3] - record["uptime_s"])
    return record
