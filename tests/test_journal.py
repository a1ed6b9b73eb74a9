"""The journal: what it promises, under power cuts, damage, a full ring and every reader.

The sweeps cut the power in the flash operations of one recorded run; for the checks themselves
there are builds that are broken on purpose, so that we know that the sweep would see it.
"""

import csv
import io
import itertools
import json
import os
import random
import shutil
import struct
import subprocess
import sys

import pytest
from conftest import ROOT, Interpreter
from test_app import SETTINGS, Charger
from test_journal_cuts import RAW_SIZE, RAW_START, WITH_JOURNAL
from test_web import free_port

from tools.journal import images, reader  # first: it brings what the firmware's modules import
from tools.virtual import image
from tools.virtual.process import STOCK_PARTITIONS, VirtualBoard

from firmware.journal import times  # isort: skip

HEAP = "64M"  # of the test: whole flashes are in memory

# (what the sweep must say, store, file, text, its broken replacement)
BROKEN = [
    (
        "a record that nobody wrote",
        "raw",
        "reading.py",
        "if crc32(memoryview(buffer)[at:end], self.salt) != "
        'struct.unpack_from("<I", buffer, end)[0]:',
        "if False:",
    ),
    (
        "numbers were lost that no record had",
        "raw",
        "turn.py",
        "        head = _take(journal)\n",
        "        head = _take(journal)\n"
        "        if journal.head >= 0:\n"
        "            close(journal, journal.head, journal.salt, journal.last_seq)\n",
    ),
    (
        "an ack was forgotten",
        "raw",
        "journal.py",
        'if not self.note(FREE, struct.pack("<II", through, self.dropped)):',
        "if False:",
    ),
    (
        "an acknowledged record is lost",
        "raw",
        "recovery.py",
        "        elif kind == _COMPACT:\n            continue",
        "        elif kind == _COMPACT:\n"
        "            lasts[i] = seq + 60\n"
        "            journal.compacted = max(journal.compacted, seq + 60)",
    ),
    (
        "a record is gone after going on",
        "raw",
        "room.py",
        "    if not salt or not briefly(_TURN).close(journal, into, salt, through):",
        "    journal.compacted = through\n"
        "    if salt and journal.spare() >= 0:\n"
        "        erase(journal, journal.spare())\n"
        "    if not salt or not briefly(_TURN).close(journal, into, salt, through):",
    ),
    (
        "was not closed",
        "raw",
        "recovery.py",
        "    if journal.open_session:\n",
        "    if False:\n",
    ),
    (
        "acknowledged too early",
        "files",
        "journal.py",
        "number & 31 != CHECKPOINT",
        "number & 31 == END",
    ),
    (
        "the newest records are gone",
        "files",
        "file_store.py",
        "            if durable:\n                file.flush()\n",
        "",
    ),
    (
        "compaction lost a record",
        "raw",
        "room.py",
        "    if cursor.kind != _CHECKPOINT:\n        return False\n",
        "    if cursor.kind != _CHECKPOINT and cursor.kind != 7:\n        return False\n",
    ),
]


def device(interpreter, script, *arguments, path=(), timeout=170):
    done = interpreter.run(script, *arguments, path=path, heap=HEAP, timeout=timeout)
    print(interpreter.name, done.stdout)
    return done.stdout


def figures(text):
    """{name: number} of the "name value" pairs in the text."""
    words = text.split()
    return {name: int(value) for name, value in itertools.pairwise(words) if value.isdigit()}


def new_seed():
    return int(os.environ.get("SEED") or random.randrange(1 << 20))


# (stride in `make test` for each interpreter, seconds allowed)
STRIDES = {"raw": {"packaged": 3, "board": 6}, "files": {"packaged": 23, "board": 47}}


@pytest.mark.parametrize("store", STRIDES)
def test_power_cuts_lose_nothing_that_was_acknowledged(interpreter, store):
    seed = new_seed()
    stride = STRIDES[store][interpreter.name]
    second = 60 if store == "raw" else 0
    out = device(interpreter, "journal_sweep.py", store, stride, seed % stride, 1, second, seed)
    done = figures(out)
    assert done["cuts"] > 150, "the sweep met hardly any flash operation"
    assert done["dropped"] and done["compacted"], "the run does not overfill the ring"


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("store", STRIDES)
def test_every_power_cut(interpreter, store):
    """Every operation, every damage; after each cut a second one at every operation of the start.

    On LittleFS that takes a quarter of an hour: PARTS=5 in the environment runs the first five of
    its twenty parts, each of which has stretches of 28 operations of the whole run.
    """
    parts, stretch = (20, 28) if store == "files" else (4, 1)
    seed = new_seed()
    cuts = again = 0
    for part in range(min(parts, int(os.environ.get("PARTS") or parts))):
        out = device(
            interpreter,
            "journal_sweep.py",
            *(store, parts, part, stretch, 1, seed + part),
            timeout=7000,
        )
        cuts += figures(out)["cuts"]
        again += figures(out)["second"]
        bar = "#" * (20 * (part + 1) // parts)
        sys.stderr.write(f"\r{store} {interpreter.name} [{bar:<20}] {cuts} cuts, {again} second")
    sys.stderr.write("\n")


def broken_build(folder, file, good, bad):
    """A copy of the firmware in `folder` whose journal has `bad` instead of `good`."""
    shutil.copytree(ROOT / "firmware", folder / "firmware")
    source = folder / "firmware" / "journal" / file
    text = source.read_text()
    assert good in text, f"{file} has changed: {good!r} is not there to be broken"
    source.write_text(text.replace(good, bad))
    return folder


@pytest.mark.parametrize(
    "broken", BROKEN, ids=[f"{row[0].replace(' ', '-')}-{n}" for n, row in enumerate(BROKEN)]
)
def test_the_sweep_sees_a_broken_build(tmp_path, broken):
    expected, store, *change = broken
    stride = 13 if store == "raw" else 60
    path = [broken_build(tmp_path, *change)]
    with pytest.raises(AssertionError) as failure:
        device(Interpreter("packaged"), "journal_sweep.py", store, stride, 1, 1, 0, 1, path=path)
    assert expected in str(failure.value)


def test_a_torn_record_stays_torn(interpreter, tmp_path):
    device(interpreter, "journal_torn.py")
    path = [
        broken_build(
            tmp_path, "recovery.py", "if found.torn:\n        _wipe", "if 0:\n        _wipe"
        )
    ]
    with pytest.raises(AssertionError, match="a record is gone"):
        device(interpreter, "journal_torn.py", path=path)


# (every how many bits one is flipped in `make test`)
FLIPPED = {"raw": {"packaged": 601, "board": 1201}, "files": {"packaged": 1499, "board": 4001}}


@pytest.mark.parametrize("store", FLIPPED)
def test_damage_at_rest_costs_a_record_or_a_sector(interpreter, store):
    device(interpreter, "journal_damage.py", store, FLIPPED[store][interpreter.name])


def test_a_full_file_system_refuses_or_gives_up_exactly(interpreter):
    device(interpreter, "journal_space.py")


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("store", FLIPPED)
def test_every_seventh_bit_flipped(interpreter, store):
    device(interpreter, "journal_damage.py", store, 7 if store == "raw" else 49, timeout=7000)


def test_overfilled_by_ten_times(interpreter):
    device(interpreter, "journal_full.py", "over")


def test_a_small_ring_keeps_whole_sessions():
    device(Interpreter("packaged"), "journal_full.py", "holds", 16, 900, 400)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_three_thousand_sessions_in_256_kib(interpreter):
    device(interpreter, "journal_full.py", "holds", 64, 6000, 3000, timeout=3000)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_three_thousand_sessions_in_files(interpreter, tmp_path):
    """The ring of a board without a partition; its files lie on this machine, which is faster."""
    folder = tmp_path / "journal"
    device(interpreter, "journal_full.py", "files", folder, 6500, 3000, timeout=3000)


def test_no_erase_while_charging_in_a_month(interpreter):
    out = device(interpreter, "journal_month.py", new_seed())
    assert figures(out)["while_charging"] == 0


def test_readers(interpreter):
    device(interpreter, "journal_read.py", new_seed())


def test_ram_of_the_journal(tmp_path):
    cost = figures(device(Interpreter("board"), "journal_ram.py", tmp_path))
    assert cost["ram_objects"] < 2048 and cost["ram_files"] < 2048 and cost["ram_cursor"] < 512


IMAGES = ROOT / "tests" / "images"


def test_an_old_image_stays_readable(interpreter):
    device(interpreter, "journal_old_image.py", IMAGES / "journal_v1.bin")
    content = reader.read(images.from_image((IMAGES / "journal_v1.bin").read_bytes()))
    assert content == json.loads((IMAGES / "journal_v1.json").read_text())
    kinds = {record.get("kind") for record in content["records"]}
    assert kinds >= {"boot", "clock", "session_start", "session_end", "session_closed", "fault"}


@pytest.fixture(scope="module")
def images_made(tmp_path_factory):
    """An image of the raw store, and one of a LittleFS that holds the other."""
    folder = tmp_path_factory.mktemp("journal")
    for store in ("raw", "files"):
        device(Interpreter("packaged"), "journal_image.py", store, folder / store, 33)
    return folder


def run_reader(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tools.journal", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_reader_prints_a_damaged_image_with_what_is_missing(images_made, tmp_path):
    data = bytearray((images_made / "raw").read_bytes())
    whole = {r["seq"]: r for r in reader.read(images.from_image(data))["records"]}
    size = 1024
    random.seed(3)
    damaged = 0
    for turn in range(60):
        image = bytearray(data)
        if turn % 3 == 0:
            at = random.randrange(len(image) // size) * size
            image[at : at + size] = b"\xff" * size
        for _ in range(turn % 4):
            image[random.randrange(len(image))] ^= 1 << random.randrange(8)
        content = reader.read(images.from_image(image))
        expected = content["records"][0].get("lost", [content["records"][0]["seq"]])[0]
        for record in content["records"]:
            if "lost" in record:
                assert record["lost"][0] == expected and record["seq"] == record["lost"][1]
                expected = record["lost"][1] + 1
                damaged += record["why"] == "Damaged"
                continue
            assert record["seq"] == expected
            expected += 1
            if "lost" not in whole[record["seq"]]:
                said = {k: v for k, v in record.items() if k not in CLOCK}
                assert said == {k: v for k, v in whole[record["seq"]].items() if k not in CLOCK}
        assert expected == content["last_seq"] + 1
    assert damaged > 10
    path = tmp_path / "image"
    path.write_bytes(image)
    table = run_reader(path)
    assert table.returncode == 0 and "missing, up to" in table.stdout, table
    rows = list(csv.DictReader(io.StringIO(run_reader(path, "--format", "csv").stdout)))
    printed = json.loads(run_reader(path, "--format", "json").stdout)["records"]
    assert [int(row["seq"]) for row in rows] == [record["seq"] for record in printed]
    assert [row["why"] for row in rows if row["kind"] == "lost"] == [
        record["why"] for record in printed if "lost" in record
    ]


# what may be told from other records, and so be told otherwise when they are missing
CLOCK = ("utc", "quality", "uncertain", "not_before", "not_after")


def test_reader_takes_every_kind_of_source(images_made, tmp_path):
    raw = (images_made / "raw").read_bytes()
    want = run_reader(images_made / "raw").stdout
    assert "session_start" in want
    flash = bytearray(b"\xff" * 0x40000)
    row = struct.pack("<HBBII16sI", 0x50AA, 1, 64, 0x20000, len(raw), b"journal", 0)
    flash[0x8000 : 0x8000 + len(row)] = row
    flash[0x20000 : 0x20000 + len(raw)] = raw
    (tmp_path / "flash").write_bytes(flash)
    assert run_reader(tmp_path / "flash").stdout == want
    flash[0x8000 : 0x8000 + len(row)] = b"\xff" * len(row)
    (tmp_path / "flash").write_bytes(flash)
    assert (
        run_reader(tmp_path / "flash", "--offset", "0x20000", "--length", len(raw)).stdout == want
    )
    files = run_reader(images_made / "files", "--littlefs", "--format", "json")
    assert len(json.loads(files.stdout)["records"]) > 100, files
    for path, word in ((tmp_path / "none", "No such file"), (tmp_path / "empty", "no journal")):
        if word == "no journal":
            path.write_bytes(b"\xff" * 8192)
        failed = run_reader(path)
        assert failed.returncode == 1 and word in failed.stderr, failed


@pytest.mark.parametrize("raw", (True, False), ids=("partition", "files"))
def test_reader_asks_a_board_as_it_runs(tmp_path, raw):
    """By mpremote; the same as what an image of its flash says."""
    partitions = WITH_JOURNAL if raw else STOCK_PARTITIONS
    files = image.charger_files("board")
    flash = image.build_image(tmp_path / "flash", "board", files, SETTINGS, partitions)
    with VirtualBoard("board", flash, ports={80: 0}, partitions=partitions) as board:
        for _ in range(3):
            board.power_off()
            place = board.serial_position
            board.power_on()
            board.wait_serial("holdfast: running", 20, place)
        asked = run_reader(board.serial_path, "--port", "--format", "json")
        assert asked.returncode == 0, asked
    content = json.loads(asked.stdout)
    kinds = [record["kind"] for record in content["records"]]
    assert kinds.count("boot") >= 2 and "notice" in kinds, content
    if raw:
        of_image = images.from_image(flash.read_bytes(), RAW_START, RAW_SIZE)
    else:
        of_image = images.from_littlefs(flash, 0x200000, 0x200000)
    again = reader.read(of_image)
    # A record may have been written between the two, none may differ.
    assert again["records"][: len(kinds)] == content["records"]
    assert again["epoch"] == content["epoch"]


def test_status_page_and_an_event_warn_from_80_percent(interpreter, tmp_path):
    """The page shows the notice of the brief status, for which it asks."""
    size = 8 * 4096
    partitions = (*WITH_JOURNAL[:-1], (1, 64, RAW_START, size, "journal", False))
    files = image.charger_files(interpreter.name)
    flash = image.build_image(
        tmp_path / "flash", interpreter.name, files, SETTINGS, partitions=partitions
    )
    for least, warns in ((60, False), (80, True)):
        device(Interpreter("packaged"), "journal_image.py", "percent", tmp_path / "ring", least)
        whole = bytearray(flash.read_bytes())
        whole[RAW_START : RAW_START + size] = (tmp_path / "ring").read_bytes()
        flash.write_bytes(whole)
        with Charger(
            *(interpreter.name, flash, "smartevse_v3"),
            ports={80: free_port()},
            partitions=partitions,
        ) as board:
            board.power_on()
            board.wait_serial("holdfast: running", 20)
            brief, status = board.get("/api/status?brief"), board.get()
        percent = status["journal"]["percent"]
        assert least <= percent < least + 20, status
        events = reader.read(images.from_image(flash.read_bytes(), RAW_START, size))["records"]
        told = [r["value"] for r in events if r["kind"] == "notice" and r["code"] == "JournalFull"]
        if warns:
            for notice in (brief["notice"], status["notice"], status["journal"]["notice"]):
                assert f"{percent} % full" in notice, (brief, status)
            assert told and 80 <= told[0] <= percent
        else:
            assert brief["notice"] is None and status["journal"]["notice"] is None, status
            assert not told


def test_times_from_anchors_and_bounds_without():
    records = []
    for boot, uptime_s, utc_s, quality in (
        (1, 10, None, 0),
        (1, 100, 1000, 1),
        (1, 200, 1103, 3),
        (1, 300, None, 0),
        (2, 5, None, 0),
        (2, 50, None, 0),
        (3, 7, None, 0),
        (3, 9, 5009, 2),
        (4, 1, None, 0),
    ):
        records.append({"boot": boot, "uptime_s": uptime_s, "utc_s": utc_s, "quality": quality})
    records.insert(4, {"seq": 9, "lost": [5, 9], "why": "Damaged"})
    boots = times.boots(records)
    placed = [times.place(record, boots) for record in records]
    del placed[4]
    assert [record["utc_s"] for record in placed[:4]] == [913, 1000, 1103, 1203]
    assert [record["quality"] for record in placed[:4]] == [3, 1, 3, 3]
    assert [record["uncertain"] for record in placed] == [False] * 4 + [True] * 2 + [
        False,
        False,
        True,
    ]
    assert (placed[4]["not_before_s"], placed[4]["not_after_s"]) == (1208, 4955)
    assert (placed[5]["not_before_s"], placed[5]["not_after_s"]) == (1253, 5000)
    assert placed[6]["utc_s"] == 5007
    assert (placed[8]["not_before_s"], placed[8]["not_after_s"]) == (5010, None)
