"""Texts that are no schedule and no time zone: each gets a sentence. Argument 1 is a seed.

Then texts spoilt at random: accepted or refused with a sentence, never another exception.
"""

import random
import sys

from firmware.access.schedule import Schedule
from firmware.access.timezone import Timezone
from firmware.access.timezone_text import parse

CET = "CET-1CEST,M3.5.0,M10.5.0/3"
NIGHTS = "Mo-Fr 23:00-06:00; Sa,Su 00:00-12:00, 22:00-24:00"
# Each with the character that is wrong, and a word of the sentence.
BAD_RULES = (
    ("", 1, "name of standard time"),
    ("CE", 1, "three letters"),
    ("CET", 4, "offset from UTC"),
    ("CET-", 5, "offset from UTC"),
    ("CET-25", 5, "0 to 24"),
    ("CET-1:60", 7, "minute"),
    ("CET-1:00:60", 10, "second"),
    ("CET-1CEST", 10, "start of daylight saving time is missing"),
    ("CET-1CEST,", 11, "day of the year"),
    ("CET-1CEST,X", 11, "day of the year"),
    ("CET-1CEST,M3", 13, "'.' is expected after the month"),
    ("CET-1CEST,M3.5", 15, "'.' is expected after the week"),
    ("CET-1CEST,M3.5.0", 17, "end of daylight saving time is missing"),
    ("CET-1CEST,M0.5.0,M10.5.0", 12, "month must be 1 to 12"),
    ("CET-1CEST,M13.5.0,M10.5.0", 12, "month must be 1 to 12"),
    ("CET-1CEST,M3.0.0,M10.5.0", 14, "week must be 1 to 5"),
    ("CET-1CEST,M3.6.0,M10.5.0", 14, "week must be 1 to 5"),
    ("CET-1CEST,M3.5.7,M10.5.0", 16, "weekday must be 0 to 6"),
    ("CET-1CEST,J0,J365", 12, "1 to 365"),
    ("CET-1CEST,0,366", 13, "0 to 365"),
    ("CET-1CEST,M3.5.0,M10.5.0/168", 26, "0 to 167"),
    ("CET-1CEST,M3.5.0,M10.5.0/3,", 27, "nothing may follow"),
    ("CET-1,M3.5.0,M10.5.0", 6, "name of daylight saving time"),
    ("Europe/Oslo", 7, "offset from UTC"),
    (":Europe/Oslo", 1, "three letters"),
    ("<+0330-3:30", 9, "must end with >"),
    ("<+0>3", 1, "three letters"),
    ("UTC0 ", 5, "name of daylight saving time"),
    (" UTC0", 1, "three letters"),
    ("A" * 65, 65, "at most 64 characters"),
)
BAD_SCHEDULES = (
    ("Mo-Fr", 6, "hour is missing"),
    ("M", 1, "one of the days"),
    ("X", 1, "one of the days"),
    ("ot 01:00-02:00", 1, "one of the days"),
    ("M\xf8 01:00-02:00", 1, "one of the days"),
    ("Mon 01:00-02:00", 3, "hour is missing"),
    ("Mo- 01:00-02:00", 5, "one of the days"),
    ("Mo,,Tu 01:00-02:00", 4, "one of the days"),
    (";", 1, "one of the days"),
    ("Mo 25:00-01:00", 4, "hour must be 0 to 23"),
    ("Mo 24:00-01:00", 4, "hour must be 0 to 23"),
    ("Mo 1234:00-01:00", 4, "hour must be 0 to 23"),
    ("Mo -1:00-01:00", 5, "one of the days"),
    ("Mo 01:60-02:00", 7, "minute must be 0 to 59"),
    ("Mo 01:00-24:01", 10, "ends at 24:00"),
    ("Mo 01:00-25:00", 10, "hour must be 0 to 24"),
    ("Mo 01:00", 9, "'-' and the end"),
    ("Mo 01:00-", 10, "hour is missing"),
    ("Mo 1-2", 5, "':' and the minutes"),
    ("Mo 01:-02:00", 7, "minute is missing"),
    ("Mo 01:00-01:00", 4, "no length"),
    ("Mo 01:00-02:00 03:00-04:00", 16, "is expected after a window"),
    ("Mo 01:00-02:00, Tu 03:00-04:00", 17, "hour is missing"),
    ("1:00-2:00;" * 5, 41, "at most 32 windows"),
    ("Mo 01:00-02:00,03:00-04:00" + " " * 231, 257, "at most 256 characters"),
)


def refusal(kind, text):
    """The sentence that refuses `text`, "" when it is accepted."""
    try:
        if kind is Timezone:
            parse(text)
        else:
            Schedule(text, UTC)
    except ValueError as e:
        return str(e)
    return ""


UTC = "UTC0"
for kind, bad in ((Timezone, BAD_RULES), (Schedule, BAD_SCHEDULES)):
    for text, position, words in bad:
        sentence = refusal(kind, text)
        assert sentence.startswith(f"character {position}: "), (text, sentence)
        assert words in sentence, (text, sentence)

random.seed(int(sys.argv[1]))
accepted = 0
for i in range(4000):
    kind, text = (Timezone, CET) if i & 1 else (Schedule, NIGHTS)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(text) + 1)
        put = random.choice(("", "", "0", "9", "-", ",", ";", ":", "/", "<", "M", "J", " ", "\xf8"))
        text = text[:at] + put + text[at + random.randrange(2) :]
    sentence = refusal(kind, text)
    if sentence:
        assert sentence.startswith("character "), (text, sentence)
        assert 1 <= int(sentence[10 : sentence.find(":")]) <= len(text) + 1, (text, sentence)
    else:
        accepted += 1
        if kind is Timezone:
            assert -172800 < Timezone(parse(text)).offset_s(820000000) < 172800, text
        else:
            Schedule(text, UTC).next_change_s(820000000)

# Written in other ways, and meant alike.
NOON_S = 820454400 + 12 * 3600  # Thursday 2026-01-01 12:00
for alike in (
    (
        "Mo-Su 23:00-06:00",
        "23:00-6:00",
        "  mo - su  23:00 - 06:00 ; ",
        "Sa-Fr 23:00-24:00;0:00-6:00",
    ),
    (
        "Sa,Su 00:00-24:00",
        "Sa-Su 0:00-24:00",
        "Su,Sa 00:00-12:00, 11:00-24:00",
        "Sa 0:00-24:00;Su 0:00-12:00;Su 12:00-0:00",
    ),
    ("", "  ", "0:00-24:00", "12:00-11:59; 11:59-12:00"),
    ("Su 20:00-04:00", "Su 20:00-24:00; Mo 00:00-04:00"),
):
    said = []
    for text in alike:
        schedule = Schedule(text, UTC)
        t = NOON_S
        row = [schedule.is_open(t)]
        while t is not None and len(row) < 20:
            t = schedule.next_change_s(t)
            row.append(t)
        said.append(row)
        assert row == said[0], (text, row, said[0])
print(f"{len(BAD_RULES)} rules, {len(BAD_SCHEDULES)} schedules, {accepted} spoilt ones still right")
