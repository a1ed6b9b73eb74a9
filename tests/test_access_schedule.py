"""The weekly schedule and the time zone under both interpreters, judged by CPython's zoneinfo."""

import datetime
import io
import json
import os
import pathlib
import random
import struct
import time
import zoneinfo

import pytest
import tzdata

# The time zones of a pinned package, whatever this machine has or has not.
zoneinfo.reset_tzpath([pathlib.Path(tzdata.__file__).parent / "zoneinfo"])

EPOCH_S = 946684800  # 2000-01-01, from which the firmware counts
HOUR_S = 3600
DAY_S = 24 * HOUR_S
CITIES = {
    "Europe/Oslo": "CET-1CEST,M3.5.0,M10.5.0/3",
    "Europe/London": "GMT0BST,M3.5.0/1,M10.5.0",
    "America/New_York": "EST5EDT,M3.2.0,M11.1.0",
    "Australia/Sydney": "AEST-10AEDT,M10.1.0,M4.1.0/3",
}
# Texts, and what they mean in other words: days (0 is Monday), minutes of the day from and to.
# The changes of all four cities come on a Sunday between 1:00 and 3:00.
TARIFF = (
    "Mo-Fr 23:00-06:00; Sa,Su 00:00-24:00",
    [("01234", 23 * 60, 30 * 60), ("56", 0, 24 * 60)],
)
QUARTERS = (
    "Su 00:15-00:45, 01:15-01:45, 02:15-02:45; Mo-We 07:30-09:00,12:00-13:15; Fr-Sa 22:00-2:30",
    [
        ("6", 15, 45),
        ("6", 75, 105),
        ("6", 135, 165),
        ("012", 450, 540),
        ("012", 720, 795),
        ("45", 22 * 60, 26 * 60 + 30),
    ],
)
MINUTES = (
    "Mo 23:17-06:03; Su 0:58-1:07,1:31-2:00,2:01-2:59,3:03-3:04; Sa 23:59-0:01; Su 23:30-0:10",
    [
        ("0", 23 * 60 + 17, 30 * 60 + 3),
        ("6", 58, 67),
        ("6", 91, 120),
        ("6", 121, 179),
        ("6", 183, 184),
        ("5", 24 * 60 - 1, 24 * 60 + 1),
        ("6", 24 * 60 - 30, 24 * 60 + 10),
    ],
)
# What POSIX and RFC 8536 allow and no place of today may use.
ODD_RULES = (
    "UTC0",
    "<+0330>-3:30",
    "IST-1GMT0,M10.5.0,M3.5.0/1",  # the other way round: less in winter
    "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
    "<+0330>-3:30<+0430>,J80/0,J264/24:30:15",
    "AAA3BBB,J60/-1,J300/167",
    "AAA+11BBB9:30,M2.5.6/-167,M9.3.3/23:59:59",
    "EST5EDT,0/0,J365/25",  # daylight saving time all the year
)
# Days counted from 0 with 29 February, and J59: CPython 3.11 is a day off, the C library is not.
DAY_RULES = (
    "<+0330>-3:30<+0430>,J80/0,264/24:30:15",
    "AAA-5:45:30BBB,59/0,M12.5.0",
    "AAA-1BBB,58,J59/2",
    "AAA5BBB,J59/0,60/2",
    "AAA0BBB,J60/2,365/0",
)


def zone(name):
    return zoneinfo.ZoneInfo(name)


def zone_of_rule(rule):
    """What zoneinfo makes of a rule: a file by RFC 8536 with nothing in it but its footer."""
    block = struct.pack(">iBB", 0, 0, 0) + b"UTC\0"
    header = b"TZif3" + bytes(15) + struct.pack(">6L", 0, 0, 0, 0, 1, 4)
    file = header + block + header + block + b"\n" + rule.encode() + b"\n"
    return zoneinfo.ZoneInfo.from_file(io.BytesIO(file), key=rule)


def local(tz, utc_s):
    return datetime.datetime.fromtimestamp(utc_s + EPOCH_S, tz)


def offset_s(tz, utc_s):
    return round(local(tz, utc_s).utcoffset().total_seconds())


def utc(*date):
    return round(datetime.datetime(*date, tzinfo=datetime.UTC).timestamp()) - EPOCH_S


def open_minutes(windows):
    """For every minute of the week whether a window is open then."""
    week = [False] * 10080
    for days, start, end in windows:
        for day in days:
            for minute in range(start, end):
                week[(int(day) * 1440 + minute) % 10080] = True
    return week


def expected(tz, windows, job):
    """The bits of a job, and the seconds at which they change, by zoneinfo."""
    week = open_minutes(windows)
    bits = []
    for i in range(job["count"]):
        wall = local(tz, job["start_s"] + i * job["step_s"])
        bits.append(week[wall.weekday() * 1440 + wall.hour * 60 + wall.minute])
    changes = [
        job["start_s"] + i * job["step_s"] for i in range(1, len(bits)) if bits[i] != bits[i - 1]
    ]
    return bits, changes


def changes_of_the_clock(tz, years):
    """The UTC seconds at which the offset changes, to the quarter of an hour."""
    seconds = range(utc(years[0], 1, 1), utc(years[-1] + 1, 1, 1), 900)
    offsets = [offset_s(tz, s) for s in seconds]
    return [seconds[i] for i in range(1, len(offsets)) if offsets[i] != offsets[i - 1]]


def compare(interpreter, tmp_path, tz, rule, parts):
    """Let the device do the jobs of `parts`, (schedule, start_s, step_s, count), and judge it."""
    jobs = [
        {"rule": rule, "text": schedule[0], "start_s": start, "step_s": step, "count": count}
        for schedule, start, step, count in parts
    ]
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps(jobs))
    lines = interpreter.run("access_schedule_sweep.py", file).stdout.splitlines()
    for k, job in enumerate(jobs):
        bits, changes = expected(tz, parts[k][0][1], job)
        data = bytes.fromhex(lines[2 * k])
        wrong = [i for i in range(len(bits)) if bits[i] != bool(data[i // 8] >> i % 8 & 1)]
        assert not wrong, (
            f"{rule}, {job['text']}: {len(wrong)} of {len(bits)} differ from zoneinfo, first "
            f"{local(tz, job['start_s'] + wrong[0] * job['step_s'])}: {bits[wrong[0]]} expected"
        )
        said = [int(s) for s in lines[2 * k + 1].split()]
        assert said == changes, (
            f"{rule}, {job['text']}: changes unlike zoneinfo's "
            f"{[str(local(tz, s)) for s in sorted(set(said) ^ set(changes))[:4]]}"
        )


@pytest.mark.parametrize("city", CITIES)
def test_every_quarter_of_an_hour_of_two_years(interpreter, tmp_path, city):
    start, end = utc(2026, 1, 1), utc(2028, 1, 1)
    parts = [(text, start, 900, (end - start) // 900) for text in (TARIFF, QUARTERS)]
    compare(interpreter, tmp_path, zone(city), CITIES[city], parts)


@pytest.mark.parametrize("city", CITIES)
@pytest.mark.parametrize("years", [(2026, 2027), (2040,)])
def test_every_minute_of_the_days_around_each_change(interpreter, tmp_path, city, years):
    """The day of the change and the days before and after, as the local calendar has them."""
    tz = zone(city)
    changes = changes_of_the_clock(tz, years)
    assert len(changes) == 2 * len(years)
    parts = []
    for change in changes:
        midnight = (change + offset_s(tz, change)) // DAY_S * DAY_S - offset_s(tz, change)
        start = midnight - DAY_S - 2 * HOUR_S
        parts += [(text, start, 60, 3 * 1440 + 240) for text in (QUARTERS, MINUTES)]
    compare(interpreter, tmp_path, tz, CITIES[city], parts)


def test_windows_in_the_missing_and_the_doubled_hour(interpreter, tmp_path):
    """What is promised, in so many words: Oslo, 29 March and 25 October 2026."""
    spring, autumn = utc(2026, 3, 29, 1), utc(2026, 10, 25, 1)
    inside = ("Su 02:15-02:45", [("6", 135, 165)])
    across = ("Su 02:30-06:00", [("6", 150, 360)])
    file = tmp_path / "jobs.json"
    jobs = [
        {"rule": CITIES["Europe/Oslo"], "text": text, "start_s": at, "step_s": 900, "count": 24}
        for text, _ in (inside, across)
        for at in (spring - 3 * HOUR_S, autumn - 3 * HOUR_S)
    ]
    file.write_text(json.dumps(jobs))
    lines = interpreter.run("access_schedule_sweep.py", file).stdout.splitlines()
    said = [[int(s) for s in line.split()] for line in lines[1::2]]
    assert said[0] == []  # it does not happen on that day
    quarter = HOUR_S // 4
    twice = [autumn - 3 * quarter, autumn - quarter, autumn + quarter, autumn + 3 * quarter]
    assert said[1] == twice
    assert said[2] == [spring]  # it starts with the jump, and lasts beyond what was looked at
    assert said[3] == [autumn - 2 * quarter, autumn, autumn + 2 * quarter]


def rules_of_the_world():
    """Every rule that the time zone files end with, and a zone that has it."""
    found = {}
    for name in sorted(zoneinfo.available_timezones()):
        for folder in zoneinfo.TZPATH:
            try:
                with open(f"{folder}/{name}", "rb") as file:
                    rule = file.read().rsplit(b"\n", 2)[-2].decode()
            except (OSError, IndexError):
                continue
            found.setdefault(rule, name)
            break
    return found


def test_changes_of_the_clock_for_every_rule_in_the_world(interpreter, tmp_path):
    """Offsets and changes until 2032, for the four cities until 2110, as zoneinfo has them."""
    rules = {**dict.fromkeys(ODD_RULES), **rules_of_the_world()}
    assert set(CITIES.values()) <= set(rules)
    start = utc(2026, 1, 1)
    jobs = [
        (rule, start, utc(2110 if rule in CITIES.values() else 2032, 1, 1))
        for rule in rules
        if rule
    ]
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps(jobs))
    lines = interpreter.run("access_timezone_changes.py", file).stdout.splitlines()
    assert len(lines) == len(jobs)
    for (rule, start, end), line in zip(jobs, lines, strict=True):
        tz = zone_of_rule(rule)
        said = [tuple(map(int, part.split(":"))) for part in line.split()]
        for k, (at, offset) in enumerate(said):
            assert offset_s(tz, at) == offset, (rule, str(local(tz, at)))
            if k:
                assert offset_s(tz, at - 1) == said[k - 1][1], (rule, str(local(tz, at)))
        at = 0
        for noon in range(start, end, DAY_S):  # none was left out
            while at + 1 < len(said) and said[at + 1][0] <= noon:
                at += 1
            assert offset_s(tz, noon) == said[at][1], (rule, str(local(tz, noon)))
    if interpreter.name == "packaged":  # the city's file agrees with its rule, once is enough
        for city, rule in CITIES.items():
            for noon in range(start, utc(2110, 1, 1), 7 * DAY_S):
                assert offset_s(zone(city), noon) == offset_s(zone_of_rule(rule), noon)


def test_days_of_the_year_as_the_c_library_has_them(interpreter, tmp_path):
    """Every half an hour of a leap year and the year before it."""
    jobs = [(rule, utc(2027, 1, 1), utc(2029, 1, 1)) for rule in DAY_RULES]
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps(jobs))
    lines = interpreter.run("access_timezone_changes.py", file).stdout.splitlines()
    before = os.environ.get("TZ")
    try:
        for (rule, start, end), line in zip(jobs, lines, strict=True):
            os.environ["TZ"] = rule
            time.tzset()
            said = [tuple(map(int, part.split(":"))) for part in line.split()]
            at = 0
            for second in range(start, end, 1800):
                while at + 1 < len(said) and said[at + 1][0] <= second:
                    at += 1
                wall = time.localtime(second + EPOCH_S)
                assert wall.tm_gmtoff == said[at][1], (rule, wall)
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def test_changes_that_hours_move_into_another_year(interpreter, tmp_path):
    """167 hours before 1 January and after 31 December; asked on every day around the new year."""
    rules = {
        "AAA0BBB,J1/-167,J2/-167": [(12, 25, 1, 3600), (12, 26, 0, 0)],
        "AAA0BBB,J364/167,J365/167": [(1, 5, 23, 3600), (1, 6, 22, 0)],
    }
    days = [utc(2026, 12, 20) + n * DAY_S for n in range(25)]
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps([(rule, day, utc(2030, 1, 1)) for rule in rules for day in days]))
    lines = interpreter.run("access_timezone_changes.py", file).stdout.splitlines()
    for k, (rule, changes) in enumerate(rules.items()):
        every = [
            (utc(year, *when), offset) for year in range(2025, 2030) for *when, offset in changes
        ]
        for n, day in enumerate(days):
            before = [offset for at, offset in every if at <= day][-1]
            expected = [(day, before)] + [change for change in every if change[0] > day]
            said = [tuple(map(int, s.split(":"))) for s in lines[k * len(days) + n].split()]
            assert said == expected, (rule, day)


def test_bad_texts_get_a_sentence(interpreter):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    said = interpreter.run("access_schedule_texts.py", seed).stdout
    assert "30 rules, 25 schedules" in said


def test_asking_allocates_nothing(interpreter):
    assert interpreter.run("access_schedule_allocation.py").stdout.startswith("0 bytes")
