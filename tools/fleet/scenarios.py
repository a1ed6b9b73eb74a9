"""What happens to the fleet, and which rules go through it.

Ratios count: `ideal` is the time that the cloud needs for the whole fleet if it is never idle and
never does anything in vain.
"""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np

from tools.fleet.clients import OTHERS, Holdfast, Mixed
from tools.fleet.cloud import TICKS_PER_S, Cloud, Hint
from tools.fleet.fleet import Fleet

OURS = "Holdfast"
NO_HINT = "Holdfast, no hint"
HEAD_PERCENT = 24  # what strict_first means: 95 % of a tenth are then within a fifth
_HOPELESS_S = 1800  # without a single success, after which others' rules are watched no more
WINDOW = 1.29  # of size / capacity, what a cloud tells its fleet while all is well
_STUCK_SHARE = 0.1
_NEEDS_CLOUD_SHARE = 0.2
_HALF = "half Holdfast, half "


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One disaster. `most_s` is how long it is watched, for a fleet of 200 s x capacity."""

    title: str
    rules: tuple[str, ...]
    sheds: bool
    factor: float = 1.0  # of its capacity that the cloud comes back with
    most_s: int = 1800
    kicks: int = 0  # the cloud drops everybody again each minute, so often
    city: float = 0.0  # part of the fleet that gets its power back, the rest is untouched
    backlog: int = 0  # records of each charger
    mixed: bool = False  # policies: a tenth is stuck, two tenths need the cloud
    window: bool = True  # a window is known


_ALL = (*OTHERS, OURS)
SCENARIOS = {
    "dropped-shed": Scenario("All dropped at once, shedding cloud", _ALL, True),
    "dropped-fifo": Scenario("All dropped at once, FIFO cloud", _ALL, False),
    "quarter-shed": Scenario(
        "Cloud back at a quarter, shedding", (*_ALL, NO_HINT), True, 0.25, most_s=7200
    ),
    "quarter-fifo": Scenario(
        "Cloud back at a quarter, FIFO", (*_ALL, NO_HINT), False, 0.25, most_s=7200
    ),
    "policies": Scenario("Mixed policies, a tenth is stuck", (OURS,), False, mixed=True),
    "city": Scenario("Power back for 30 % of the fleet, FIFO", _ALL, False, city=0.3),
    "flapping": Scenario("Cloud drops all, five times, a minute apart", _ALL, True, kicks=5),
    "backlog": Scenario("100 records of backlog each, FIFO", _ALL, False, backlog=100),
    "no-window": Scenario("No window known, shedding", (NO_HINT,), True, most_s=3600, window=False),
    "others": Scenario(
        "Half of the fleet of another make, shedding",
        tuple(_HALF + name for name in OTHERS),
        True,
    ),
}


@dataclasses.dataclass
class Row:
    """The figures of one run; times in seconds, NaN for never within the time watched."""

    scenario: str
    rule: str
    ideal_s: float
    peak: float  # attempts in the worst second, as a multiple of the capacity
    peak_later: float  # the same after the first second
    per_client: float  # attempts
    back_50_s: float
    back_95_s: float
    back_all_s: float
    share_back: float
    ours_95_s: float  # of our half, where the other half is of another make
    stuck_95_s: float
    needs_cloud_95_s: float
    others_95_s: float
    backlog_s: float
    watched_s: float
    window_s: float
    hopeless: bool  # the run was ended for want of any success
    attempts: list[int]  # per second
    back: list[int]  # how many were back at the end of each second


def run(name, rule, size, capacity, seed, patient=False):
    """Row of `rule` in scenario `name`, for `size` chargers and `capacity` connects/s.

    `patient`: others' rules are watched to the end though nobody has come through for long.
    """
    scenario = SCENARIOS[name]
    # The same seed gives every run its own stream, whatever else is run.
    random = np.random.default_rng([seed, zlib.crc32(f"{name} {rule}".encode())])
    window_s = max(1, round(WINDOW * size / capacity))
    urgency = np.zeros(size, dtype=np.int8)
    if scenario.mixed:
        share = random.random(size)
        urgency[share < _STUCK_SHARE + _NEEDS_CLOUD_SHARE] = 1
        urgency[share < _STUCK_SHARE] = 2
    ours = rule in (OURS, NO_HINT) or rule.startswith(_HALF)
    if ours:
        told_s = window_s if scenario.window else 0
        rules = Holdfast(size, random, told_s, HEAD_PERCENT if scenario.mixed else 0, urgency)
        if rule.startswith(_HALF):
            rules = Mixed(size // 2, rules, OTHERS[rule[len(_HALF) :]](size, random))
    else:
        rules = OTHERS[rule](size, random)
    cloud = Cloud(capacity, scenario.sheds)
    hint = Hint(size, capacity, window_s) if ours and rule != NO_HINT else None
    fleet = Fleet(size, rules, cloud, random, hint, scenario.backlog)
    everybody = np.arange(size)
    gone = size

    def drop_all(fleet):
        fleet.cloud.clear()
        fleet.cloud.capacity = capacity * scenario.factor
        fleet.drop(everybody)

    events = {0: drop_all}
    for kick in range(1, scenario.kicks):
        events[60 * kick] = drop_all
    if scenario.city:
        gone = round(size * scenario.city)
        dark = random.permutation(size)[:gone]

        def power_back(fleet):
            fleet.drop(dark, away=True)
            # Chargers start within two seconds; their routers need 40 to 80 s for the internet.
            fleet.start(dark, random.integers(40, 82, gone) * TICKS_PER_S)

        events = {0: power_back}
    most_s = round(scenario.most_s * (size / capacity) / 200)
    outcome = fleet.run(events, most_s, 0 if ours or patient else _HOPELESS_S)
    back_s = outcome.back_s
    among = np.ones(size, dtype=bool)
    if scenario.city:
        among[:] = False
        among[dark] = True
    nan = float("nan")
    mixed = scenario.mixed

    def part_s(mask, wanted):
        return outcome.quantile_s(0.95, mask) if wanted else nan

    counted = back_s[among & np.isfinite(back_s)]
    seconds = len(outcome.attempts)
    back = np.bincount(np.minimum(counted.astype(int), seconds - 1), minlength=seconds).cumsum()
    return Row(
        name,
        rule,
        gone / (capacity * scenario.factor),
        outcome.peak() / capacity,
        outcome.peak_later() / capacity,
        float(outcome.attempts.sum() / gone),
        outcome.quantile_s(0.5, among),
        outcome.quantile_s(0.95, among),
        outcome.quantile_s(1.0, among),
        float(np.isfinite(back_s[among]).mean()),
        part_s(everybody < size // 2, rule.startswith(_HALF)),
        part_s(urgency == 2, mixed),
        part_s(urgency == 1, mixed),
        part_s(urgency == 0, mixed),
        outcome.backlog_s if scenario.backlog else nan,
        outcome.ended_s,
        window_s,
        seconds < most_s and bool(np.isnan(back_s[among]).any()),
        outcome.attempts.tolist(),
        back.tolist(),
    )
