"""The name server of the charger's own WiFi: every name is the charger.

So a phone that looks for the internet finds the page. Only what a phone asks is answered: one
question of class IN (RFC 1035), with or without the one OPT record of RFC 6891, to the byte. Type A
has the charger's address, any other type nothing; whatever else comes is met with silence. An
answer is at most 16 bytes longer than its question, and is not to be kept: elsewhere it is wrong.
"""

_MOST = 512  # RFC 1035, 2.3.4
_TOGETHER = 2
_RECORD = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\xc0\xa8\x04\x01"  # the name asked for, A, IN, TTL 0


def serve(its):
    """Take up to two packets from the socket `its`, and answer those that deserve it."""
    try:
        for _ in range(_TOGETHER):
            query, peer = its.recvfrom(_MOST)
            reply = answer(query)
            if reply:
                its.sendto(reply, peer)
    except (OSError, MemoryError):
        pass  # no more of them, or no room: the phone asks again


def answer(query):
    """The bytes that answer `query`, or None."""
    try:
        # A standard query, neither truncated nor an answer, no error; one question, and behind it
        # nothing or one record.
        if query[2] & 0xFE or query[3] & 0xCF or query[4:11] != b"\0\1\0\0\0\0\0" or query[11] > 1:
            return None
        at = 12
        while query[at]:
            if query[at] > 63:
                return None
            at += query[at] + 1
        end = size = at + 5
        if query[11]:
            if query[end : end + 3] != b"\0\0\x29":
                return None
            size += 11 + (query[end + 9] << 8 | query[end + 10])
        if not 12 < at < 267 or len(query) != size or query[at + 3 : end] != b"\0\1":
            return None
        known = query[at + 1 : at + 3] == b"\0\1"
        # With authority; recursion available, as whoever wants it is refused by some phones else.
        head = bytes((query[0], query[1], 0x84 | query[2], 0x80, 0, 1, 0, known, 0, 0, 0, 0))
        return head + query[12:end] + (_RECORD if known else b"")
    except IndexError:
        return None
