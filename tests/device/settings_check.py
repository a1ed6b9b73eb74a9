"""Every bad value of every setting is refused whole; good ones come back from the file."""

import json
import os
import sys

from firmware import settings_file as room
from firmware import settings_table as table
from firmware.settings import Settings, SettingsError
from firmware.settings_change import check
from firmware.settings_file import encode

directory = sys.argv[1]
TABLE = list(table.rows())


def bad_values(row):
    """Values that the table's `row` must refuse."""
    _name, default, allowed, _, flags, _ = row
    bad = [None, [], {}, b"x", 1.5, 1 << 40, -(1 << 40)]
    if isinstance(default, bool):
        bad += [0, 1, "true", ""]
    elif isinstance(default, int):
        bad += [True, False, "16", "", allowed[0] - 1, allowed[1] + 1, 16.0]
        if len(allowed) > 2:
            bad += [allowed[0] + 1]
    else:
        bad += [True, 5]
        if isinstance(allowed, tuple):
            bad += ["", "nonsense", allowed[0] + " "]
        else:
            bad += [
                "1" * (allowed + 1),
                "12345\n",
                "12345\x00",
                "12345\x7f",
                "1234\u00e9",
                "\U0001f50c",
            ]
        if flags & table.NAME:
            bad += ["a b", "a/b", "a+b", "#", '"', "a\\b"]
        if flags & table.DIGITS:
            bad += ["1", "123", "12a45", "-1234", "12.45"]
        if _name == "schedule":
            bad += ["Mo", "Mo 10:00", "10:00-25:00", "10:00-11:00;;"]
        if _name == "timezone":
            bad += ["", "CET", "CET-1CEST", "Europe/Oslo"]
    return bad


def good_values(row):
    """The edges of what the table's `row` allows."""
    _name, default, allowed, _, _flags, _ = row
    if isinstance(default, bool):
        return [False, True]
    if isinstance(default, int):
        return [allowed[0], allowed[1]]
    if isinstance(allowed, tuple):
        return list(allowed)
    if _name == "schedule":
        return ["", "10:00-11:00" + " " * (allowed - 11)]
    if _name == "timezone":
        return ["UTC0", "<" + "A" * (allowed - 4) + ">-1"]
    return ["", "1" * allowed]


def in_force(s):
    return [getattr(s, row[0]) for row in TABLE]


def refused(s, changes, field):
    before, revision = in_force(s), s.revision
    try:
        s.set_many(changes)
    except SettingsError as e:
        assert e.field == field, (changes, e.field)
        assert e.reason and not e.reason.endswith("."), e.reason
        assert in_force(s) == before and s.revision == revision, changes
        return str(e)
    raise AssertionError(f"accepted: {changes}")


def sweep():
    s = Settings(directory)
    for row in TABLE:
        other = "phases" if row[0] != "phases" else "tethered"
        for bad in bad_values(row):
            refused(s, {row[0]: bad}, row[0])
            # one bad value among good ones: none of them is taken
            refused(s, {other: True if other == "tethered" else 1, row[0]: bad}, row[0])
        for good in good_values(row):
            if row[0].startswith("derate"):
                continue
            if row[0].endswith("_policy") and "schedule" in good:
                assert "schedule" in refused(s, {"schedule": " ", row[0]: good}, row[0])
                s.set_many({"schedule": "10:00-11:00"})
            s.set_many({row[0]: good})
            assert s.get(row[0]) == good and getattr(s, row[0]) == good
        if row[0].endswith("_policy"):
            s.set_many({row[0]: row[1], "schedule": ""})
    refused(s, {"nonsense": 1}, "nonsense")
    refused(s, {"set_many": 1}, "set_many")
    refused(s, {"path": "x"}, "path")
    refused(s, {5: 1}, "5")
    assert "above" in refused(s, {"derate_half_c": 70}, "derate_quarter_c")
    s.set_many({"derate_half_c": 70, "derate_quarter_c": 72, "derate_stop_c": 75})
    try:
        s.get("save")
    except SettingsError:
        return
    raise AssertionError("a method is no setting")


def secrets():
    s = Settings(directory)
    assert in_force(s) == [row[1] for row in TABLE]
    s.set_many({"pin": "271828"})
    shown = json.dumps(list(s.describe()))
    assert "271828" not in shown and '"set": true' in shown
    assert "271828" not in refused(s, {"pin": "271828x"}, "pin")
    for row in s.describe():
        assert row["meaning"] and row["name"], row
    names = [row[0] for row in TABLE]
    assert len(set(names)) == len(names)
    for row in TABLE:
        check(row, row[1])


def largest_file_fits():
    s = Settings(directory)
    for row in TABLE:
        if not row[0].startswith("derate"):
            for good in good_values(row):
                if good and good != row[1] and not row[0].endswith("_policy"):
                    s.set_many({row[0]: good})
    s.set_many(
        {
            "schedule": "Mo 10:00-11:00; " * 15,
            "offline_policy": "known_key+schedule",
            "online_policy": "cloud+schedule",
        }
    )
    s.save()
    size = os.stat(directory + "/settings.json")[6]
    assert size < room.MAX_FILE_BYTES, size
    t = Settings(directory)
    t.load()
    assert t.notice is None and in_force(t) == in_force(s)


def write(ending, data):
    with open(directory + "/settings" + ending, "wb") as f:
        f.write(data)


def remove_all():
    for ending in (".json", ".bak", ".new"):
        try:
            os.remove(directory + "/settings" + ending)
        except OSError:
            pass


def loaded():
    s = Settings(directory)
    s.load()
    return s


def damaged_files():
    good = encode({"phases": 1, "charger_id": "old"})
    newer = encode({"phases": 1, "charger_id": "new"})
    remove_all()
    assert loaded().notice is None

    cases = [
        (b"", "damaged"),
        (b"\xff" * 64, "damaged"),
        (b"[]", "damaged"),
        (b'{"format": 1}', "damaged"),
        (b'{"format": 1, "crc32": "00000000", "values": {}}', "damaged"),
        (newer[:-1], "damaged"),
        (newer + b"}", "damaged"),
        (newer.replace(b'"format": 1', b'"format": 2'), "another firmware"),
        (newer.replace(b'"format": 1', b'"format": null'), "another firmware"),
        (newer + b" " * 4096, "too large"),
        (encode([]), "damaged"),
        (encode("x"), "damaged"),
        (encode({"derate_stop_c": 40}), "contradicts itself"),
    ]
    # every single bit flipped somewhere in the file
    for i in range(len(newer)):
        flipped = bytearray(newer)
        flipped[i] ^= 1 << (i & 7)
        cases.append((bytes(flipped), ""))
    for data, problem in cases:
        remove_all()
        write(".json", data)
        s = loaded()
        assert s.notice and problem in s.notice and "defaults" in s.notice, (data, s.notice)
        assert s.charger_id == "" and s.phases == 3, data
        write(".bak", good)
        s = loaded()
        assert s.notice and "before the last save" in s.notice, (data, s.notice)
        assert s.charger_id == "old" and s.phases == 1, data
        # a save over the damaged file keeps the last good one until the new one is in place
        s.set_many({"charger_id": "third"})
        s.save()
        assert loaded().charger_id == "third" and loaded().notice is None
        with open(directory + "/settings.bak", "rb") as f:
            assert f.read() == good

    remove_all()
    write(".json", encode({"charger_id": "x", "gone": 5, "phases": 9, "pin": "secret"}))
    s = loaded()
    assert s.charger_id == "x" and s.phases == 3 and s.pin == ""
    assert "gone" in s.notice and "phases" in s.notice and "secret" not in s.notice, s.notice

    remove_all()
    write(".new", newer)
    write(".bak", good)
    s = loaded()
    assert s.charger_id == "new" and s.notice is None
    write(".new", b"half of")  # a later save that is cut
    assert loaded().charger_id == "new"
    remove_all()
    write(".new", newer[:20])
    assert loaded().notice is None and loaded().charger_id == ""
    write(".bak", good)
    assert loaded().charger_id == "old" and "missing" in loaded().notice
    remove_all()


sweep()
secrets()
largest_file_fits()
damaged_files()
print("ok")
