"""Puts every case of access_decision_table.txt to `decide`, and counts them.

Usage: access_decision_check.py TABLE. A row stands for all the cases that it covers; each of them
is marked, so that one which is covered twice or not at all is found.
"""

import sys

from firmware.access import decision
from firmware.access.decision import Case, decide
from firmware.charging.signals import Permit

WINDOW_S = 4321

AXES = (
    ("mode", ("offline", "online", "deliberate")),
    ("offline policy", ("open", "any_key", "known_key")),
    ("its schedule", ("no", "yes")),
    ("online policy", ("open", "any_key", "known_key", "cloud")),
    ("its schedule", ("no", "yes")),
    ("key", ("none", "checking", "unknown", "known", "expired")),
    ("answer", ("not_asked", "asked", "accepted", "refused", "silent")),
    ("window", ("outside", "inside", "unknown")),
    ("waits", ("no", "yes")),
    ("session", ("starting", "no_car", "plugged", "finished", "run", "run_s")),
    ("owner", ("no", "started", "hurries", "both")),
)
ALIASES = {"idle": "starting,no_car,plugged,finished", "read": "unknown,known,expired"}
CONSTANTS = (
    (decision.OFFLINE, decision.ONLINE, decision.DELIBERATE),
    (decision.OPEN, decision.ANY_KEY, decision.KNOWN_KEY),
    (False, True),
    (decision.OPEN, decision.ANY_KEY, decision.KNOWN_KEY, decision.CLOUD),
    (False, True),
    (decision.NO_KEY, decision.CHECKING, decision.UNKNOWN, decision.KNOWN, decision.EXPIRED),
    (
        decision.NOT_ASKED,
        decision.ASKED,
        decision.ACCEPTED,
        decision.REFUSED,
        decision.SILENT,
    ),
    (decision.OUTSIDE, decision.INSIDE, decision.CLOCK_UNKNOWN),
    (False, True),
    (
        decision.STARTING,
        decision.NO_CAR,
        decision.PLUGGED,
        decision.FINISHED,
        decision.RUNNING,
        decision.RUNNING,
    ),
)


def chosen(field, values):
    """Indices of the axis's values that a field of the table names."""
    if field == "*":
        return tuple(range(len(values)))
    if field[0] == "!":
        left_out = values.index(field[1:])
        return tuple(i for i in range(len(values)) if i != left_out)
    return tuple(values.index(name) for name in ALIASES.get(field, field).split(","))


def say(number, text):
    """A row's case in words, with what is wrong; and the end."""
    words = []
    for name, values in reversed(AXES):
        words.append("%s %s" % (name, values[number % len(values)]))
        number //= len(values)
    print(text, "-", ", ".join(reversed(words)))
    sys.exit(1)


def check(row, fields, covered):
    """Every case of one row of the table."""
    axes = [chosen(field, values) for field, (_, values) in zip(fields, AXES)]
    modes, offline, offline_s, online, online_s, keys, answers, windows, waits, sessions, owners = (
        axes
    )
    verdict, reason, begin, change = fields[11:]
    assert verdict in ("permit", "wait", "refuse") and begin in ("yes", "no"), row
    allowed = verdict == "permit"
    refused = verdict == "refuse"
    authorized = begin == "yes"
    change_s = WINDOW_S if change == "window" else -1
    case = Case()
    case.window_s = WINDOW_S
    permit = Permit()
    at = 0
    for a in modes:
        case.mode = CONSTANTS[0][a]
        for b in offline:
            case.offline_who = CONSTANTS[1][b]
            for c in offline_s:
                case.offline_scheduled = CONSTANTS[2][c]
                for d in online:
                    case.online_who = CONSTANTS[3][d]
                    for e in online_s:
                        case.online_scheduled = CONSTANTS[4][e]
                        at_e = (((a * 3 + b) * 2 + c) * 4 + d) * 2 + e
                        for f in keys:
                            case.listed = CONSTANTS[5][f]
                            for g in answers:
                                case.answer = CONSTANTS[6][g]
                                for h in windows:
                                    case.window = CONSTANTS[7][h]
                                    for i in waits:
                                        case.waits_for_clock = CONSTANTS[8][i]
                                        at_i = (((at_e * 5 + f) * 5 + g) * 3 + h) * 2 + i
                                        for j in sessions:
                                            case.session = CONSTANTS[9][j]
                                            case.began_scheduled = j == 5
                                            for k in owners:
                                                case.owner_started = k == 1 or k == 3
                                                case.owner_hurries = k >= 2
                                                at = (at_i * 6 + j) * 4 + k
                                                if covered[at]:
                                                    say(at, "rows %d and %d" % (covered[at], row))
                                                covered[at] = row
                                                # what the last case left must not show through
                                                permit.allowed = not allowed
                                                permit.authorized = not authorized
                                                permit.refused = not refused
                                                permit.reason = ""
                                                permit.change_s = 0
                                                decide(case, permit)
                                                if not (
                                                    permit.allowed == allowed
                                                    and permit.authorized == authorized
                                                    and permit.refused == refused
                                                    and permit.reason == reason
                                                    and permit.change_s == change_s
                                                ):
                                                    print(
                                                        "row %d:" % row,
                                                        " ".join(fields[11:]),
                                                        "but allowed %s authorized %s refused %s"
                                                        % (
                                                            permit.allowed,
                                                            permit.authorized,
                                                            permit.refused,
                                                        ),
                                                        permit.reason,
                                                        permit.change_s,
                                                    )
                                                    say(at, "in the case")


def cells():
    n = 1
    for _, values in AXES:
        n *= len(values)
    return n


def main(table):
    covered = bytearray(cells())
    row = 0
    with open(table) as file:
        for line in file:
            fields = line.split()
            if fields and fields[0][0] != "#":
                row += 1
                assert row < 256 and len(fields) == len(AXES) + 4, line
                check(row, fields, covered)
    missing = covered.find(b"\x00")
    if missing >= 0:
        say(missing, "no row")
    print(row, "rows,", len(covered), "cells")


main(sys.argv[1])
