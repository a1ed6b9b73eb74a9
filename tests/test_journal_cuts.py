"""Real power cuts: the charger's process is killed at random moments, and its journal read after.

What the charger says it has recorded is noted on the host, from a line that it prints after each
append. Every one of those records must be in the journal afterwards, unchanged; sessions must have
exactly one end. On a stock board's LittleFS and on a board with a journal partition.
"""

import json
import os
import random
import sys
import time

import pytest
from test_app import SETTINGS

from tools.journal import images, reader
from tools.virtual import image
from tools.virtual.process import STOCK_PARTITIONS, VirtualBoard

RAW_START, RAW_SIZE = 0x3C0000, 0x40000
WITH_JOURNAL = (
    *STOCK_PARTITIONS[:-1],
    (1, 129, 0x200000, RAW_START - 0x200000, "vfs", False),
    (1, 64, RAW_START, RAW_SIZE, "journal", False),
)

# After it, every record that is durable is told on the serial port, in its order.
TELL = """
import json
import firmware.app
journal = firmware.app.charger.recorder.journal
append = journal.append
waiting = []
def told(kind, values, *when):
    seq = append(kind, values, *when)
    waiting.append((seq, kind, [v.hex() if isinstance(v, bytes) else v for v in values]))
    while waiting and waiting[0][0] <= journal.last_seq:
        print("NOTED", json.dumps(waiting.pop(0)))
    return seq
journal.append = told
result = journal.boot
"""
FIELDS = {
    "session_start": ("session", "meter_wh", "how", "key"),
    "checkpoint": ("session", "meter_wh", "energy_wh", "duration_s", "estimated"),
    "session_end": ("session", "meter_wh", "energy_wh", "duration_s", "estimated", "reason"),
    "fault": ("code", "count"),
    "fault_cleared": ("code", "count"),
    "settings": ("names", "by"),
    "clock": (),
    "boot": ("cause", "firmware"),
}


def session_of_life(board, rng):
    """What happens between two power cuts: a few things, a fraction of a second apart.

    A session takes about two seconds to begin, so that most lives see one begin, and some its end.
    """
    end = time.monotonic() + rng.uniform(0.2, 7)
    while (left_s := end - time.monotonic()) > 0:
        what = rng.randrange(8)
        if not board.world["plugged"] or what < 3:
            if not board.world["plugged"]:
                board.set_world(
                    plugged=True, car_connected=True, cable_a=32, car_state="C", draw_ma=32000
                )
        elif what == 3:
            board.set_world(car_connected=False)
            if board.world["lock_permille"] < 100:
                board.set_world(plugged=False)
        elif what == 4:
            board.set_world(car_connected=True, car_state="B" if rng.randrange(2) else "C")
        elif what == 5:
            board.set_world(rcd_tripped=bool(rng.randrange(2)))
        elif what == 6:
            change = f"set_many({{'wake_after_s': {rng.randrange(10, 90)}}})"
            board.probe(f"import firmware.app\nresult = firmware.app.charger.settings.{change}")
        time.sleep(min(left_s, rng.uniform(0.05, 0.8)))  # the random moments are the test


def live_and_die(interpreter, folder, raw, cuts, seed, progress=False):
    """Run the charger with `cuts` power cuts; what it noted as {seq: (kind, values)}, the image."""
    rng = random.Random(seed)
    partitions = WITH_JOURNAL if raw else STOCK_PARTITIONS
    files = image.charger_files(interpreter)
    flash = image.build_image(
        folder / "flash", interpreter, files, {**SETTINGS, "checkpoint_min": 1}, partitions
    )
    noted = {}
    with VirtualBoard(
        interpreter, flash, "smartevse_v3", ports={80: 0}, partitions=partitions
    ) as board:
        for cut in range(cuts):
            place = board.serial_position
            board.power_on()
            board.wait_serial("holdfast: running", 20, place)
            board.probe(TELL)
            session_of_life(board, rng)
            board.power_off()
            for line in bytes(board.serial_log)[place:].decode().splitlines():
                if line.startswith("NOTED ") and line.endswith("]"):
                    seq, kind, values = json.loads(line[6:])
                    assert seq not in noted, f"the number {seq} was given twice"
                    noted[seq] = (kind, values)
            if progress:
                sys.stderr.write(f"\r{cut + 1}/{cuts} cuts, {len(noted)} records noted ")
    return noted, flash


def judge(noted, content):
    """Compare the journal's `content` with what was noted while it was written."""
    records = content["records"]
    assert not [r for r in records if "lost" in r], "records are lost"
    numbers = [r["seq"] for r in records]
    assert numbers == list(range(1, len(numbers) + 1)), "a gap, or a number twice"
    by_number = {r["seq"]: r for r in records}
    for seq, (kind, values) in noted.items():
        record = by_number.get(seq)
        assert record, f"record {seq} ({kind}) was noted and is missing"
        assert record["kind"] == kind, (record, kind)
        for name, value in zip(FIELDS.get(kind, ()), values, strict=False):
            there = record[name] or "" if name == "key" else record[name]
            assert there == value, (record, name, value)
    ends, starts, energy = {}, {}, {}
    for r in records:
        if r["kind"] == "session_start":
            starts[r["boot"], r["session"]] = r
        elif r["kind"] == "checkpoint":
            energy[r["boot"], r["session"]] = r["energy_wh"]
        elif r["kind"] in ("session_end", "session_closed"):
            name = (r.get("session_boot") or r["boot"], r["session"])
            assert name not in ends, f"{name} ended twice"
            assert r["energy_wh"] >= energy.get(name, 0)
            ends[name] = r
    assert set(ends) <= set(starts), "an end without a start"
    running = sorted(set(starts) - set(ends))
    assert len(running) <= 1 and running in ([], sorted(starts)[-1:]), running
    return len(starts), sum(r["reason"] == "PowerLoss" for r in ends.values())


def check(interpreter, folder, raw, cuts, progress=False):
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    print("seed", seed)
    noted, flash = live_and_die(interpreter, folder, raw, cuts, seed, progress)
    if raw:
        store = images.from_image(flash.read_bytes(), RAW_START, RAW_SIZE)
    else:
        store = images.from_littlefs(flash, 0x200000, 0x200000)
    started, cut_sessions = judge(noted, reader.read(store))
    print(f"{cuts} cuts, {len(noted)} records noted, {started} sessions, {cut_sessions} cut")
    assert noted and started


@pytest.mark.parametrize("raw", [False, True], ids=["littlefs", "partition"])
def test_killed_at_random_moments(interpreter, tmp_path, raw):
    check(interpreter.name, tmp_path, raw, 5)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("raw", [False, True], ids=["littlefs", "partition"])
def test_killed_two_hundred_times(interpreter, tmp_path, raw):
    check(interpreter.name, tmp_path, raw, 200, progress=True)
