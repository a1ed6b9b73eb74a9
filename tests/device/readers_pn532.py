"""The PN532 driver, over both buses, against a chip that speaks the wire protocol."""

import random

import machine
import readers_fixture
import world
from readers_fixture import CARDS, PARTS, Rig

from firmware import ticks
from firmware.board import pn532

KINDS = ("uart", "i2c")
NOTICED_MS = 1400  # a chip that fell silent
BACK_MS = 5000 + 700  # the longest pause, the set-up and a look
AWAY_MS = 1300


def test_numbers_of_every_length():
    for kind in KINDS:
        rig = Rig(kind)
        for card in CARDS + ("00000000", "FFFFFFFFFFFFFF", "0000FF00FF0000FF05FB"):
            world.set(card=card)
            assert rig.run(400) == 1 and rig.taps[-1] == card, (kind, card, rig.taps)
            world.set(card="")
            assert rig.run(AWAY_MS) == 0
        assert rig.driver.ok and rig.driver.failures == 0
        assert rig.driver.name == PARTS[kind]["kind"]


def test_set_up():
    """It is woken, configured once, and from then on it looks, about every 150 ms."""
    for kind in KINDS:
        rig = Rig(kind)
        rig.run(10000)
        chip = rig.chip
        assert chip._configured and chip._retries == 2 and not chip._parameters & 0x10
        assert chip.frames == chip.looks + 3
        assert 58 <= chip.looks <= 68, chip.looks


def test_a_card_that_stays_counts_once():
    for kind in KINDS:
        for alternates in (False, True):
            for card in (CARDS[0], CARDS[2]):
                rig = Rig(kind)
                rig.chip.alternates = alternates
                world.set(card=card)
                assert rig.run(30000) == 1 and rig.taps == [card], (kind, alternates, rig.taps)
                assert rig.driver.failures == 0


def test_away_for_a_second():
    for kind in KINDS:
        rig = Rig(kind)
        for gap_ms in range(50, 1900, 100):
            world.set(card=CARDS[1])
            rig.run(500)
            world.set(card="")
            rig.run(gap_ms)
            world.set(card=CARDS[1])
            again = rig.run(500)
            world.set(card="")
            rig.run(3000)
            if gap_ms <= 850:
                assert again == 0, (kind, gap_ms)
            elif gap_ms >= 1250:
                assert again == 1, (kind, gap_ms)


def test_taps_in_a_row():
    for kind in KINDS:
        rig = Rig(kind)
        rig.run(500)
        wanted = []
        for i in range(200):
            card = "%08X" % (i * 7919 + 1) if i % 2 else "%014X" % (i * 7919 + 1)
            world.set(card=card)
            wanted.append(card)
            rig.run(208)
        assert rig.taps == wanted
        assert rig.driver.failures == 0


def test_cards_in_one_purse():
    """They are found in turn; each counts once, also when one of them leaves and comes back."""
    for kind in KINDS:
        for count in (2, 3, 4):
            rig = Rig(kind)
            rig.run(300)
            for i in range(100):
                world.set(card="%08X" % (i % count + 1))
                rig.run(144)
            assert len(rig.taps) == count, (kind, count, rig.taps)


def test_two_in_turn_after_the_first():
    rig = Rig("uart")
    world.set(card=CARDS[0])
    rig.run(500)
    world.set(card=CARDS[1])
    rig.run(500)
    world.set(card=CARDS[0])  # away for half a second only
    rig.run(500)
    assert rig.taps == [CARDS[0], CARDS[1]]
    world.set(card=CARDS[1])
    rig.run(AWAY_MS)
    world.set(card=CARDS[0])
    rig.run(500)
    assert rig.taps == [CARDS[0], CARDS[1], CARDS[0]]


# --- faults


def _faults(kind):
    return [f for f in world.READER_FAULTS if f and (f != "stuck" or kind == "i2c")]


def test_every_fault_is_noticed_and_ends():
    for kind in KINDS:
        for fault in _faults(kind):
            for begin_ms in (0, 1000, 1060):
                rig = Rig(kind)
                rig.run(begin_ms)
                world.set(reader_fault=fault)
                rig.until(lambda: not rig.driver.ok, NOTICED_MS)
                failures = rig.driver.failures
                rig.run(12000)
                assert not rig.driver.ok and rig.taps == []
                # bounded both ways: it is retried for ever, and not all the time
                tries = rig.driver.failures - failures
                assert 3 <= tries <= 9, (kind, fault, tries)
                world.set(reader_fault="", card=CARDS[1])
                rig.until(lambda: rig.driver.ok, BACK_MS)
                rig.run(300)
                assert rig.taps == [CARDS[1]], (kind, fault, rig.taps)
                failures = rig.driver.failures
                rig.run(4000)
                assert rig.driver.failures == failures and rig.driver.ok and len(rig.taps) == 1
                # and it is patient again: one bad byte is no fault, and soon forgotten
                rig.chip.corrupt_at = 4
                looks = rig.chip.looks
                rig.run(700)
                assert rig.driver.failures == failures + 1 and rig.driver.ok
                assert rig.chip.looks >= looks + 2


def test_a_card_that_stays_through_a_fault_is_not_new():
    for kind in KINDS:
        for fault in _faults(kind):
            rig = Rig(kind, card=CARDS[2])
            rig.run(1000)
            assert rig.taps == [CARDS[2]]
            world.set(reader_fault=fault)
            rig.run(15000)
            world.set(reader_fault="")
            rig.run(7000)
            assert rig.driver.ok and rig.taps == [CARDS[2]], (kind, fault, rig.taps)


def test_unplugged_and_plugged_again_and_again():
    for kind in KINDS:
        rig = Rig(kind)
        for i in range(30):
            world.set(reader_fault="unplugged", card="")
            rig.run(i * 97)
            world.set(reader_fault="", card=CARDS[i % 3])
            rig.until(lambda: len(rig.taps) > i, BACK_MS + AWAY_MS)
            assert rig.driver.ok and rig.taps[-1] == CARDS[i % 3]
            world.set(card="")
            rig.run(AWAY_MS)
        assert len(rig.taps) == 30


def test_pauses_grow_and_are_bounded():
    for kind in KINDS:
        rig = Rig(kind)
        world.set(reader_fault="unplugged")
        times = []
        for _ in range(300000 // 16):
            before = rig.driver.failures
            rig.step()
            if rig.driver.failures != before:
                times.append(world.ms)
        gaps = [ticks.diff(b, a) for a, b in zip(times, times[1:])]
        assert all(a <= b + 32 for a, b in zip(gaps, gaps[1:])), gaps[:10]
        assert gaps[0] <= 700 and 5000 <= gaps[-1] <= 5600, (kind, gaps[:10], gaps[-1])
        assert 300000 // 5600 <= len(gaps)


# --- every byte


def _stream_of(kind, card):
    """How many bytes the chip sends until the second look at a card has been answered."""
    rig = Rig(kind, card=card)
    sent = [0]
    plain = rig.chip._put

    def put(byte):
        sent[0] += 1
        plain(byte)

    rig.chip._put = put
    rig.until(lambda: rig.chip.looks == 2, 2000)
    rig.run(100)
    assert rig.taps == [card]
    return sent[0]


def test_the_stream_is_cut_after_every_byte():
    for kind in KINDS:
        for card in (CARDS[0], CARDS[2]):
            for n in range(_stream_of(kind, card)):
                rig = Rig(kind, card=card)
                rig.chip.cut_after = n
                rig.until(lambda: not rig.driver.ok, 400 + NOTICED_MS)
                rig.chip.cut_after = -1
                rig.until(lambda: rig.driver.ok, BACK_MS)
                rig.run(500)
                assert rig.taps == [card], (kind, card, n, rig.taps)


def test_every_byte_is_corrupted():
    """A wrong number is never taken; the reader goes on by itself, and the card counts once."""
    for kind in KINDS:
        for card, masks in ((CARDS[1], (0xFF, 0x01, 0x80)), (CARDS[0], (0x10,))):
            for n in range(_stream_of(kind, card)):
                for mask in masks:
                    rig = Rig(kind, card=card)
                    rig.chip.corrupt_at = n
                    rig.chip.corrupt_by = mask
                    rig.run(1600)
                    assert rig.chip.corrupt_at < 0
                    assert rig.taps == [card], (kind, card, n, mask, rig.taps)
                    assert rig.driver.failures <= 1 and rig.driver.ok


def test_noise_before_a_frame_means_nothing():
    rig = Rig("uart")
    rig.run(500)
    for noise in (b"\0", b"\xff", b"\0\0\0", b"\x55\xaa\0", b"\xff\xff\xff\xff", b"\0\xfe\0\0"):
        rig.chip.stray = noise
        rig.run(300)
        assert rig.chip.stray == b"" and rig.driver.failures == 0, noise
    rig.chip.stray = b"\0\xff\0\xff"  # the chip acknowledges twice
    rig.run(1000)
    assert rig.driver.failures == 1 and rig.driver.ok


class Scripted:
    """A device on either bus that answers each command of the driver with bytes of choice."""

    def __init__(self, rig):
        self.rig = rig
        self.plan = None  # for InListPassiveTarget: these bytes
        self.more = []  # bytes too many in the answers to all other commands
        self.out = b""
        self.acknowledged = False
        for key in list(machine.devices):
            machine.devices[key] = self

    def received(self, data):
        data = bytes(data)
        if len(data) < 9 or data[0] == 0x55:
            return
        code = data[6]
        answer = frame([0xD5, code + 1] + self.more)
        if code == 0x4A:
            answer = self.plan
        self.out = answer
        self.acknowledged = False
        if self.rig.kind == "uart":
            self.out = b"\0\0\xff\0\xff\0" + answer

    write = received

    def waiting(self):
        return len(self.out)

    def take(self, buffer, count):
        assert count <= 32
        buffer[:count] = self.out[:count]
        self.out = self.out[count:]

    def read_into(self, buffer):
        frame = self.out if self.acknowledged else b"\0\0\xff\0\xff\0"
        whole = b"\1" + frame + bytes(300)
        buffer[:] = whole[: len(buffer)]
        if len(buffer) > 1:
            self.acknowledged = True


def frame(data):
    size = len(data)
    return bytes([0, 0, 0xFF, size, -size & 255] + data + [-sum(data) & 255, 0])


def card_frame(uid, targets=1, number=1, size=None, extra=()):
    head = [0xD5, 0x4B, targets, number, 0, 4, 8, len(uid) if size is None else size]
    return frame(head + list(uid) + list(extra))


def _answered(kind, answer):
    """(taps, failures) when every look is answered with these bytes."""
    rig = Rig(kind)
    Scripted(rig).plan = answer
    rig.run(900)
    return rig.taps, rig.driver.failures


def test_what_counts_as_a_card():
    uid = [4, 0xA2, 0xB3, 0xC4, 0xD5, 0xE6, 0xF7, 8, 9, 10, 11, 12]
    for kind in KINDS:
        for size in range(13):
            taps, failures = _answered(kind, card_frame(uid[:size]))
            good = size in (4, 7, 10)
            assert len(taps) == good and bool(failures) == (not good), (kind, size, taps)
        good = [[], 0]
        assert list(_answered(kind, frame([0xD5, 0x4B, 0]))) == good
        for bad in (
            card_frame(uid[:4], targets=2),
            card_frame(uid[:4], targets=0),
            card_frame(uid[:4], number=2),
            card_frame(uid[:4], number=0),
            card_frame(uid[:4], size=7),  # the number is not there
            card_frame(uid[:4], size=10),
            card_frame(uid[:4], size=255),
            frame([0xD5, 0x4B]),
            frame([0xD5, 0x4B, 1]),
            frame([0xD5, 0x4B, 1, 1]),
            frame([0xD5, 0x4B, 0, 0]),
            frame([0xD5, 0x15]),  # the answer to another command
            frame([0xD5, 0x15, 0]),
            frame([0xD4, 0x4B, 0]),
            frame([0x7F]),  # the chip's own error
            b"\0\0\xff\xff\0\0",  # not acknowledged
            b"\0\0\xff\0\xff\0",  # acknowledged again
            b"\0\0\xff\xff\xff\0\x03\xfd\xd5\x4b\0\xe0\0",  # extended frame
            b"\0\0\xff\0\0\0",
            b"\0\0\xff\x03\xfc\xd5\x4b\0\xe0\0",  # wrong length sum
            b"\0\0\xff\x03\xfd\xd5\x4b\0\xe1\0",  # wrong data sum
            b"",
        ):
            taps, failures = _answered(kind, bad)
            assert taps == [] and failures, (kind, bad)


def test_set_up_answers_are_checked():
    for kind in KINDS:
        rig = Rig(kind)
        device = Scripted(rig)
        device.plan = frame([0xD5, 0x4B, 0])
        device.more = [0]
        rig.until(lambda: not rig.driver.ok, NOTICED_MS)
        device.more = []
        rig.until(lambda: rig.driver.ok, BACK_MS)


def test_a_long_answer():
    """On UART a frame is followed to its end, however long; on I2C it is cut, and that is said."""
    for size in range(1, 238, 9):
        answer = card_frame([4, 1, 2, 3, 5, 6, 7], extra=range(size))
        assert _answered("uart", answer) == (["04010203050607"], 0), size
        taps, failures = _answered("i2c", answer)
        assert (taps == [] and failures > 0) or size == 1, size


def test_anything_may_come():
    """Random bytes and random frames: nothing is raised, and a card is only what is one."""
    seed = random.getrandbits(24)
    print("seed", seed)
    random.seed(seed)
    for kind in KINDS:
        for _ in range(60):
            rig = Rig(kind)
            device = Scripted(rig)
            for _ in range(10):
                size = random.getrandbits(5)
                data = [random.getrandbits(8) for _ in range(size)]
                if random.getrandbits(1):
                    data[:3] = [0xD5, 0x4B, random.getrandbits(1)]
                answer = frame(data)
                if random.getrandbits(2) == 0:
                    answer = bytes(data)
                device.plan = answer
                before = len(rig.taps)
                rig.run(160)
                for tap in rig.taps[before:]:
                    assert data[2:4] == [1, 1] and data[7] == len(tap) // 2 and size >= 8 + data[7]
            world.set(card="")
            device.plan = frame([0xD5, 0x4B, 0])
            rig.until(lambda: rig.driver.ok, BACK_MS)


# --- time


def test_ticks_wrap():
    for kind in KINDS:
        for edge in (0, 1 << 29):
            for before_ms in (0, 1, 15, 40, 333, 900, 2000):
                rig = Rig(kind, (edge - before_ms) & ticks.MASK, card=CARDS[1])
                rig.run(3000)
                assert rig.taps == [CARDS[1]] and rig.driver.failures == 0, (kind, before_ms)
                world.set(card="")
                rig.run(AWAY_MS)
                world.set(card=CARDS[1])
                assert rig.run(500) == 1
                # a pause over the edge
                rig = Rig(kind, (edge - before_ms) & ticks.MASK)
                world.set(reader_fault="hangs")
                rig.run(4000)
                world.set(reader_fault="")
                rig.until(lambda: rig.driver.ok, BACK_MS)


def test_it_may_be_held_up_anywhere():
    """An erase of flash stops everything for 400 ms; a request takes longer still."""
    for kind in KINDS:
        for stall_ms in (100, 400, 3000):
            for k in range(40):
                rig = Rig(kind, card=CARDS[1])
                for _ in range(k):
                    rig.run(16)
                rig.step(stall_ms) and rig.taps.append("")
                rig.run(1000)
                assert len(rig.taps) == 1, (kind, stall_ms, k, rig.taps)
                assert rig.driver.failures == 0 and rig.driver.ok, (kind, stall_ms, k)


def test_any_tick_will_do():
    for kind in KINDS:
        for step_ms in (1, 5, 20, 100, 333):
            rig = Rig(kind, card=CARDS[2])
            rig.run(8000, step_ms)
            assert rig.taps == [CARDS[2]] and rig.driver.failures == 0, (kind, step_ms)


def test_the_controller_restarts_in_the_middle():
    """A soft reset leaves the chip as it is, in the middle of whatever it was doing."""
    for kind in KINDS:
        for k in range(60):
            rig = Rig(kind, card=CARDS[0])
            for _ in range(k):
                rig.step(5)
            rig.driver = pn532.Pn532(PARTS[kind])
            rig.run(1500)
            assert rig.taps == [CARDS[0]] and rig.driver.ok, (kind, k, rig.taps)
            assert rig.driver.failures <= 1, (kind, k)


# --- costs


def test_nothing_is_allocated():
    for kind in KINDS:
        for fault, card in (
            ("", ""),
            ("", CARDS[2]),
            ("hangs", ""),
            ("garbage", ""),
            ("checksum", CARDS[0]),
            ("late", ""),
            ("no_ack", ""),
            ("resets", CARDS[1]),
            ("unplugged", ""),
        ):
            rig = Rig(kind)
            world.set(reader_fault=fault, card=card)
            rig.run(5000)
            failures = rig.driver.failures
            cost = rig.allocated(10000 if fault in ("", "hangs", "unplugged") else 2000)
            tries = rig.driver.failures - failures
            if kind == "i2c" and fault == "unplugged":
                # ENODEV is an exception, and there is no other way to ask the bus.
                print("bytes a try without anybody on the I2C bus:", cost // tries)
                assert cost <= tries * 256, (cost, tries)
            else:
                assert cost == 0, (kind, fault, cost)
            # taps and cards that come and go
        rig = Rig(kind)
        rig.run(1000)
        world.set(card=CARDS[0])
        assert rig.allocated(100) == 0
        assert rig.driver.length == 4
        world.set(card="")
        assert rig.allocated(100) == 0


def test_the_longest_step():
    """Measured in bytes on the I2C bus, addresses included, of 22.5 us each at 400 kHz."""
    most = 0
    for fault in world.READER_FAULTS:
        for card in ("",) + CARDS:
            rig = Rig("i2c", card=card)
            rig.run(1000)
            world.set(reader_fault=fault)
            rig.run(5000)
            world.set(reader_fault="")
            rig.run(6000)
            most = max(most, rig.most_i2c_bytes)
    print("bytes in a step:", most)
    assert most == 29
    for kind in ("uart", "wiegand"):
        rig = Rig(kind, card=CARDS[0])
        rig.run(3000)
        assert rig.most_i2c_bytes == 0 and len(rig.taps) == 1


readers_fixture.run(globals())
