"""The name server of the charger's own WiFi: what it answers, and all that it does not."""

import random
import socket
import struct

from test_web import free_port

PACKETS = 10_000
_A, _AAAA, _HTTPS, _OPT, _ANY = 1, 28, 65, 41, 255
_IN = 1
_OF_A_QUERY = 0x0100 | 0x0020 | 0x0010  # recursion desired, AD, CD


def name(rng, length=None):
    """A name as it goes over the wire; `length` is that of all its bytes."""
    if length is None:
        labels = [bytes(rng.choices(b"abcXYZ019-_", k=rng.randint(1, 12)))] * rng.randint(1, 4)
        if rng.random() < 0.1:
            labels.append(rng.randbytes(rng.randint(1, 63)))
    else:
        labels = []
        left = length - 1
        while left:
            size = min(left - 1, 63)
            if left - 1 - size == 1:
                size -= 1  # a label of its own needs two bytes
            labels.append(b"x" * size)
            left -= size + 1
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def query(rng, **fields):
    """A question as a phone asks it, but for the fields given."""
    flags = rng.choice((0x0100, 0x0100, 0x0100, 0x0120, 0x0110, 0x0130, 0x0000))
    extra = b""
    if rng.random() < 0.3:
        options = b"" if rng.random() < 0.5 else struct.pack(">HH8s", 10, 8, rng.randbytes(8))
        extra = struct.pack(">BHHIH", 0, _OPT, 1232, 0, len(options)) + options
    of = {
        "id": rng.getrandbits(16),
        "flags": flags,
        "questions": 1,
        "answers": 0,
        "authorities": 0,
        "additional": 1 if extra else 0,
        "name": name(rng),
        "type": rng.choice((_A, _A, _A, _AAAA, _HTTPS, _ANY, 16, 6, rng.getrandbits(16))),
        "class": _IN,
        "extra": extra,
        **fields,
    }
    head = [of[k] for k in ("id", "flags", "questions", "answers", "authorities", "additional")]
    return (
        struct.pack(">6H", *head)
        + of["name"]
        + struct.pack(">HH", of["type"], of["class"])
        + of["extra"]
    )


def packet(rng):
    """Anything from a good question to noise."""
    good = query(rng)
    kind = rng.randrange(14)
    if kind < 3:
        return good
    if kind == 3:
        return rng.randbytes(rng.randrange(0, 80))
    if kind == 4:
        return rng.randbytes(rng.choice((511, 512, 513, 1400)))
    if kind == 5:
        return good[: rng.randrange(len(good))]
    if kind == 6:
        return good + rng.randbytes(rng.randint(1, 20))
    if kind == 7:  # one bit
        at = rng.randrange(len(good) * 8)
        flipped = bytearray(good)
        flipped[at // 8] ^= 1 << at % 8
        return bytes(flipped)
    if kind == 8:  # a few bytes of the head or of the name
        changed = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(min(30, len(good)))] = rng.choice((0, 1, 0x3F, 0x40, 0xC0, 0xFF))
        return bytes(changed)
    if kind == 9:
        return query(rng, flags=rng.getrandbits(16))
    if kind == 10:
        counts = ("questions", "answers", "authorities", "additional")
        return query(rng, **{rng.choice(counts): rng.choice((0, 1, 2, 256, 0xFFFF))})
    if kind == 11:  # at the limits of a name, and beyond
        label = rng.choice((1, 62, 63, 64, 192))
        limit = name(rng, rng.choice((3, 64, 254, 255, 256, 300)))
        return query(rng, name=rng.choice((limit, bytes((label,)) + b"y" * label + b"\0", b"\0")))
    if kind == 12:
        compressed = rng.choice((b"\xc0\x0c", b"\x01a\xc0\x0c", b"\x01a\xc0\x04", b"\xc0"))
        return query(rng, name=compressed, **{"class": rng.choice((1, 3, 254, 255, 0))})
    rest = rng.randbytes(rng.randrange(12)) if rng.random() < 0.5 else b"o" * 500
    of, kind = rng.choice((0, 0, 1)), rng.choice((_OPT, _OPT, _A))
    return query(rng, additional=1, extra=struct.pack(">BHHIH", of, kind, 512, 0, len(rest)) + rest)


def wanted(data):
    """What RFC 1035 and RFC 6891 make of it, for a server that knows one address."""
    if not 12 < len(data) <= 512:
        return b""
    number, flags, questions, answers, authorities, additional = struct.unpack_from(">6H", data)
    if flags & ~_OF_A_QUERY:
        return b""
    if (questions, answers, authorities) != (1, 0, 0) or additional > 1:
        return b""
    labels, rest = [], data[12:]
    while rest and rest[0]:
        size = rest[0]
        if size > 63 or len(rest) <= size:
            return b""
        labels.append(rest[1 : 1 + size])
        rest = rest[1 + size :]
    if not labels or sum(len(label) + 1 for label in labels) + 1 > 255 or len(rest) < 5:
        return b""
    kind, its_class = struct.unpack_from(">HH", rest, 1)
    question = data[12 : len(data) - len(rest) + 5]
    rest = rest[5:]
    if additional:
        if len(rest) < 11 or rest[0] or struct.unpack_from(">H", rest, 1)[0] != _OPT:
            return b""
        if len(rest) != 11 + struct.unpack_from(">H", rest, 9)[0]:
            return b""
    elif rest:
        return b""
    if its_class != _IN:
        return b""
    reply = struct.pack(">6H", number, 0x8480 | flags & 0x0100, 1, int(kind == _A), 0, 0) + question
    if kind == _A:
        reply += struct.pack(">HHHIH", 0xC00C, _A, _IN, 0, 4) + socket.inet_aton("192.168.4.1")
    return reply


def test_ten_thousand_packets(interpreter, tmp_path):
    seed = random.randrange(1 << 30)
    print("seed:", seed)
    rng = random.Random(seed)
    lines = []
    for _ in range(PACKETS):
        data = packet(rng)
        lines.append(f"{data.hex()} {wanted(data).hex()}\n")
    answered = sum(not line.endswith(" \n") for line in lines)
    assert PACKETS // 5 < answered < PACKETS // 2, answered
    (tmp_path / "packets").write_text("".join(lines))
    done = interpreter.run("dns_check.py", tmp_path / "packets", free_port())
    print(interpreter.name, done.stdout)
    packets, answers, grown = map(int, done.stdout.split())
    assert (packets, answers) == (PACKETS, answered)
    assert grown <= 4096, "the name server keeps something of what it answers"
