"""Card numbers, keys and lists: bad input is refused with its field, damage is told."""

import os
import sys

from access_key_rows import card, entries, entry, finish, loaded, pages

from firmware import key_pages
from firmware.access import key_entry, keys, uid
from firmware.access.uid import BadKey

directory = sys.argv[1]


def refused(field, function, *args):
    """The sentence of the BadKey that `function` raises for `field`."""
    try:
        function(*args)
    except BadKey as e:
        assert e.field == field, (args, e.field)
        assert e.reason and not e.reason.endswith("."), e.reason
        return str(e)
    raise AssertionError(f"accepted: {args}")


def card_numbers():
    for text in ("04a2b3C4", "04:A2:b3:c4", "04-a2-b3-c4", "04 a2 b3 c4"):
        assert uid.parse(text) == b"\x04\xa2\xb3\xc4", text
    for size in (4, 7, 10):
        number = bytes([4 + i * 20 for i in range(size)])
        assert uid.parse(uid.shown(number)) == number
        last = uid.shown(number)[-2:]
        assert uid.masked(number) == "04.." + last and len(uid.masked(number)) == 6
    for text in (
        None,
        5,
        b"04A2B3C4",
        [],
        "",
        "04",
        "04A2B3",
        "04A2B3C",
        "04A2B3C4D5",
        "04A2B3C4D5E6F708",
        "04A2B3C4D5E6F708091011",
        "04A2B3G4",
        "04:A2:B3:C",
        "04:A2:B3:C4:",
        ":04A2B3C4",
        "04:A2-B3:C4",
        "0:4A2:B3:C4",
        "04::A2:B3C4",
        "\u00e504A2B3",
        "04A2B3C4" * 1000,
        "04:" * 1000,
        " 04A2B3C4",
        "04A2B3C4\n",
    ):
        sentence = refused("uid", uid.parse, text)
        assert "4, 7 or 10" in sentence and len(sentence) < 80
    for number in (None, "04A2B3C4", b"", b"123", b"12345", b"123456", b"12345678", b"1" * 11):
        refused("uid", uid.check, number)
    assert uid.is_random(b"\x08abc") and not uid.is_random(b"\x08abcdef")
    assert not uid.is_random(b"\x09abc") and not uid.is_random(b"\x08abcdefghi")
    sentence = refused("uid", uid.check_learnable, b"\x08\xb2\xc3\xd4")
    assert "cannot be learned" in sentence and "b2" not in sentence.lower()
    uid.check_learnable(b"\x08abcdef")


def rows():
    row = bytearray(keys.SIZE)
    good = {"uid": "04A2B3C4", "label": "", "parent": "", "expiry_s": 0}
    for field, values in (
        ("label", ("x", "x" * 24, "\u00e5" * 12, "\U0001f50c" * 6, " a ")),
        ("parent", ("x" * 20, "")),
        ("expiry_s", (1, 850000000, 0xFFFFFFFF)),
        ("uid", ("04A2B3C4D5E6F7", "0800000000000000AABB"[:20], "00000000")),
    ):
        for value in values:
            changed = dict(good)
            changed[field] = value
            key_entry.pack(changed, row)
            key_entry.seal(row, 77)
            assert keys.is_good(row, 77) and not keys.is_good(row, 78)
            assert key_pages.entry(row) == changed, changed
    text_too = ("\n", "a\x00b", "\x7f", None, 5, b"x", [])
    for field, values in (
        ("label", text_too + ("x" * 25, "\u00e5" * 13)),
        ("parent", text_too + ("x" * 21, "x" * 10000)),
        ("expiry_s", (-1, 1 << 32, 1 << 80, 1.5, "1", None, True)),
        ("uid", (None, "", "08A2B3C4", b"\x08abc", b"abc", 4)),
        ("colour", ("red",)),
        ("x" * 20, (5,)),
    ):
        for value in values:
            changed = dict(good)
            changed[field] = value
            refused(field, key_entry.pack, changed, row)
    for whole in (None, 5, "04A2B3C4", [], ("uid",)):
        refused("key", key_entry.pack, whole, row)
    refused("uid", key_entry.pack, {}, row)
    refused("x" * 20, key_entry.pack, {"uid": "04A2B3C4", "x" * 500: 1}, row)
    key_entry.pack({"uid": "04A2B3C4", "expiry_s": 1000}, row)
    assert [keys.is_expired(row, s) for s in (0, 999, 1000, 1 << 31)] == [False, False, True, True]
    key_entry.pack({"uid": "04A2B3C4"}, row)
    assert not keys.is_expired(row, 0) and not keys.is_expired(row, 0xFFFFFFFF)


def changed(steps):
    return lambda: finish(steps)


def everything(files, expected):
    """`expected`, {card: entry}, is what the list holds, in order, before and after a load."""
    for f in (files, loaded(directory)):
        assert f.notice is None and not f.damaged and f.count == len(expected), f.notice
        found = pages(f)
        for e in found:
            assert e == expected[uid.parse(e["uid"])], e
        numbers = [(len(e["uid"]), e["uid"]) for e in found]
        assert numbers == sorted(numbers)
        for number, e in expected.items():
            assert f.find(number) >= 0
            assert keys.label(f.row) == e["label"] and keys.parent(f.row) == e["parent"]
            assert keys.expiry_s(f.row) == e["expiry_s"]
            for other in (number[:-1] + bytes([number[-1] ^ 1]), number + b"\0\0\0", number[:-3]):
                if other not in expected:
                    assert f.find(other) == -1, (number, other)


def shown(e):
    e = dict(e)
    e["uid"] = uid.shown(e["uid"])
    return e


def changes():
    files = loaded(directory)
    assert (files.count, files.version, files.notice) == (0, 0, None)
    assert files.find(card(1)) == -1
    refused("uid", changed(files.removing(card(1))))
    expected = {}
    for n in range(100):
        finish(files.adding(entry(n)))
        expected[card(n)] = shown(entry(n))
        if n % 20 == 0:
            everything(files, expected)
    assert files.edited and files.version == 0
    # adding it again changes it
    again = {"uid": uid.shown(card(5)), "label": "again", "parent": "", "expiry_s": 9}
    finish(files.adding(again, 3))
    expected[card(5)] = again
    everything(files, expected)
    assert files.version == 3 and files.edited
    for n in range(0, 100, 3):
        finish(files.removing(card(n) if n % 2 else uid.shown(card(n))))
        del expected[card(n)]
    everything(files, expected)
    for number in (card(0), card(1001)):
        sentence = refused("uid", changed(files.removing(number)))
        assert uid.masked(number) in sentence and uid.shown(number) not in sentence
    for bad in (None, 5, "", "04A2", b"", [1]):
        refused("uid", changed(files.removing(bad)))
    refused("uid", changed(files.adding({"uid": "08A2B3C4"})))
    refused("label", changed(files.adding({"uid": "04A2B3C4", "label": "x" * 99})))
    for version in (-1, 1 << 32, 1.0, "1", True):
        refused("version", changed(files.adding(entry(500), version)))
        refused("version", changed(files.replacing([], version)))
    refused("version", changed(files.replacing([], None)))
    everything(files, expected)

    def failing():
        yield entry(900)
        raise OSError("the cloud is gone")

    for bad, field in (
        ([entry(1), {"uid": "zz"}], "uid"),
        ([entry(1), entry(2), entry(1)], "uid"),
        (list(entries(60)) + [entry(0)], "uid"),
        ([entry(1), None], "key"),
        (({"uid": bytes([1, n >> 8, n & 255, 1])} for n in range(2001)), "keys"),
    ):
        refused(field, changed(files.replacing(bad, 8)))
        everything(files, expected)
        assert files.version == 3 and os.listdir(directory) == ["keys"]
    try:
        finish(files.replacing(failing(), 8))
        raise AssertionError("a broken transmission was taken for a list")
    except OSError:
        everything(files, expected)

    # lookups between the steps of a change see the old list, another change is refused
    steps = files.replacing(entries(200, 7), 8)
    for _ in range(5):
        next(steps)
        assert files.find(card(1)) >= 0 and files.find(card(1, 7)) == -1
        assert keys.label(files.row) == ""
        refused("keys", changed(files.adding(entry(1))))
    steps.close()
    everything(files, expected)
    assert os.listdir(directory) == ["keys"] and not files.changing

    for count in (0, 1, 44, 45, 46, 90, 91, 200):
        finish(files.replacing(entries(count), 0xFFFFFFFF))
        everything(files, {card(n): shown(entry(n)) for n in range(count)})
        assert files.version == 0xFFFFFFFF and not files.edited
    assert len(list(files.entries(190, 50))) == 10
    assert not list(files.entries(200, 1)) and not list(files.entries(1 << 40, 1))


def full():
    files = loaded(directory)
    finish(files.replacing(({"uid": bytes([1, n >> 8, n & 255, 1])} for n in range(2000)), 1))
    refused("keys", changed(files.adding({"uid": "02A2B3C4"})))
    finish(files.adding({"uid": "01000001", "label": "there already"}))
    finish(files.removing("01000101"))
    finish(files.adding({"uid": "02A2B3C4"}))
    assert files.count == 2000 and files.find(b"\x02\xa2\xb3\xc4") == 1999


def write(data):
    with open(directory + "/keys", "wb") as f:
        f.write(data)


def whole_file_damaged():
    files = loaded(directory)
    finish(files.replacing(entries(10), 5))
    files.close()
    with open(directory + "/keys", "rb") as f:
        good = f.read()
    future = bytearray(good)
    future[4] = 2
    header = bytearray(future[:64])
    key_entry.seal(header, 0)
    future[:64] = header
    for data, problem in (
        (b"", "damaged"),
        (b"x", "damaged"),
        (good[:64], "damaged"),
        (good[:-64], "damaged"),
        (good[:-1], "damaged"),
        (good[64:], "start"),
        (good + b"x", "damaged"),
        (b"\xff" * 768, "damaged"),
        (b"\0" * 768, "damaged"),
        (future, "another firmware (format 2)"),
        (future[:-64] + b"more", "another firmware (format 2)"),
    ):
        write(data)
        f = loaded(directory)
        if problem == "start":  # one row and the first header are gone
            assert f.count == 0 and "no key" in f.notice
        assert f.count == 0 and problem.replace("start", "damaged") in f.notice, f.notice
        assert f.find(card(1)) == -1 and not f.readable
        refused("keys", changed(f.adding(entry(1))))
        with open(directory + "/keys", "rb") as left:
            assert left.read() == data
        finish(f.replacing(entries(3), 6))
        assert f.notice is None and f.count == 3 and f.readable and f.find(card(1)) >= 0
    # one of the two headers is enough
    for at in (0, len(good) - 64):
        broken = bytearray(good)
        broken[at : at + 64] = b"\0" * 64
        write(broken)
        f = loaded(directory)
        assert f.count == 10 and f.version == 5 and f.find(card(9)) >= 0
        assert (f.notice is None) == (at != 0)
    # rows of another list are not taken, though each is whole in itself
    finish(f.replacing(entries(10), 6))
    f.close()
    with open(directory + "/keys", "rb") as file:
        other = file.read()
    write(other[:256] + good[256:512] + other[512:])
    f = loaded(directory)
    assert pages(f)[3:7] == [None] * 4 and f.damaged and "damaged" in f.notice
    # a change leaves them out, and says so
    finish(f.adding(entry(11)))
    assert f.count == 7 and "4 damaged" in f.notice, f.notice
    assert loaded(directory).notice is None and None not in pages(f)


card_numbers()
rows()
changes()
full()
whole_file_damaged()
print("ok")
