"""The Wiegand driver against pulses on its pins, in virtual time."""

import random

import readers_fixture
import world
from readers_fixture import CARDS, Rig

from firmware import ticks


def bits_of(uid):
    """The frame of these bytes: even parity over the first half, odd over the second."""
    data = [byte >> (7 - i) & 1 for byte in uid for i in range(8)]
    half = len(data) // 2
    return [sum(data[:half]) & 1] + data + [1 - (sum(data[half:]) & 1)]


def hexadecimal(uid):
    return "".join(["%02X" % byte for byte in uid])


def sent(rig, bits, after_ms=400):
    """What the driver takes for new cards when these bits come."""
    rig.taps = []
    rig.chip.send(bits)
    rig.run(after_ms)
    return rig.taps


def test_both_formats():
    rig = Rig("wiegand")
    numbers = [(1, 2, 3), (0, 0, 0), (255, 255, 255), (0x80, 0, 1), (0x12, 0xAB, 0xEF)]
    numbers += [(4, 1, 2, 3), (0, 0, 0, 0), (255, 255, 255, 255), (0x80, 0, 0, 1)]
    for uid in numbers:
        wanted = hexadecimal(((0,) if len(uid) == 3 else ()) + uid)
        assert sent(rig, bits_of(uid), 2000) == [wanted], uid
    assert rig.driver.failures == 0 and rig.driver.ok and rig.driver.length == 4


def test_every_length():
    seed = random.getrandbits(24)
    print("seed", seed)
    random.seed(seed)
    rig = Rig("wiegand")
    failures = 0
    for length in range(1, 61):
        if length in (26, 34):
            continue
        for _ in range(4):
            bits = [random.getrandbits(1) for _ in range(length)]
            assert sent(rig, bits) == [], bits
            failures += 1
            assert rig.driver.failures == failures and rig.driver.ok
    # of a good frame every part from the front and from the end
    for uid in ((1, 2, 3), (4, 5, 6, 7)):
        bits = bits_of(uid)
        for cut in range(1, len(bits)):
            for part in (bits[:cut], bits[cut:]):
                if len(part) != 26:
                    assert sent(rig, part) == [], (uid, cut)
    assert sent(rig, bits_of((9, 8, 7, 6)), 2000) == ["09080706"]


def test_every_wrong_bit():
    rig = Rig("wiegand")
    for uid in ((1, 2, 3), (0, 0, 0), (0xA5, 0x5A, 0xFF), (4, 5, 6, 7), (255, 0, 255, 0)):
        good = bits_of(uid)
        for i in range(len(good)):
            bits = list(good)
            bits[i] ^= 1
            failures = rig.driver.failures
            assert sent(rig, bits) == [], (uid, i)
            assert rig.driver.failures == failures + 1
        assert len(sent(rig, good, 2000)) == 1


def test_random_numbers():
    seed = random.getrandbits(24)
    print("seed", seed)
    random.seed(seed)
    rig = Rig("wiegand")
    before = None
    for i in range(300):
        uid = tuple([random.getrandbits(8) for _ in range(3 + i % 2)])
        if uid != before:
            assert sent(rig, bits_of(uid), 160) == [hexadecimal((0,) * (4 - len(uid)) + uid)], uid
        before = uid
    assert rig.driver.failures == 0


def test_taps_of_the_world():
    rig = Rig("wiegand")
    for card, wanted in ((CARDS[0], CARDS[0]), (CARDS[1], CARDS[1][:8]), ("A1B2C3", "00A1B2C3")):
        world.set(card=card)
        assert rig.run(1000) == 1 and rig.taps[-1] == wanted
        world.set(card="")
        assert rig.run(2000) == 0


def test_a_card_that_stays_counts_once():
    for repeat_ms in (0, 100, 300, 500, 1000, 1200):
        rig = Rig("wiegand")
        rig.chip.repeat_ms = repeat_ms
        world.set(card=CARDS[0])
        assert rig.run(30000) == 1, repeat_ms
        world.set(card="")
        rig.run(2000)
        world.set(card=CARDS[0])
        assert rig.run(2000) == 1, repeat_ms
        assert rig.driver.failures == 0


def test_faults():
    for fault in world.READER_FAULTS:
        rig = Rig("wiegand")
        world.set(reader_fault=fault)
        world.set(card=CARDS[0])
        taps = rig.run(3000)
        assert taps == (fault not in ("unplugged", "hangs", "checksum", "garbage", "resets"))
        assert rig.driver.failures == (fault in ("checksum", "garbage", "resets")), fault
        assert rig.driver.ok
        world.set(reader_fault="", card="")
        rig.run(2000)
        world.set(card=CARDS[0])
        assert rig.run(1000) == 1


def test_noise_between_frames():
    rig = Rig("wiegand")
    for i in range(50):
        assert sent(rig, [i & 1], 100) == []
        assert sent(rig, bits_of((i, 1, 2, 3)), 200) == ["%02X010203" % i]
    assert rig.driver.failures == 50


def test_ticks_wrap():
    for edge in (0, 1 << 29):
        for before_ms in range(0, 220, 7):
            rig = Rig("wiegand", (edge - before_ms) & ticks.MASK)
            assert sent(rig, bits_of((4, 5, 6, 7)), 2000) == ["04050607"], before_ms
            assert sent(rig, bits_of((4, 5, 6, 7)), 500) == ["04050607"]
            assert rig.driver.failures == 0


def test_a_stall_tears_no_number():
    """Interrupts that wait, and a step that comes late."""
    for stall_ms in (30, 100, 400):
        for k in range(12):
            rig = Rig("wiegand")
            rig.chip.send(bits_of((4, 5, 6, 7)))
            rig.run(16 * k)
            rig.step(stall_ms) and rig.taps.append("04050607")
            rig.run(500)
            assert rig.taps == ["04050607"] and rig.driver.failures == 0, (stall_ms, k)


def test_nothing_is_allocated():
    rig = Rig("wiegand")
    rig.chip.repeat_ms = 300
    world.set(card="FFA2B3C4")  # more than 30 bits
    assert rig.allocated(10000) == 0
    world.set(card="")
    assert rig.allocated(1000) == 0
    world.set(card=CARDS[1], reader_fault="checksum")
    assert rig.allocated(1000) == 0
    assert rig.driver.failures > 10


readers_fixture.run(globals())
