"""A card reader with Wiegand output on two pins of the virtual board.

A number of three bytes goes out as 26 bits, any other as 34 bits of its first four bytes, once for
each card that is laid on. Every bit is a short low pulse on D0 or D1, two milliseconds after the
one before; each fires the pin's interrupt at its due time, as a timer of the world does.
"""

import binascii

import world
from micropython import const

# As far as they mean anything here; "late" two seconds, "checksum" a wrong parity, "garbage" some
# bits too many, "resets" some too few.
_SILENT = ("unplugged", "hangs")

_MASK = const(0x3FFFFFFF)
_BIT_MS = const(2)
_START_MS = const(20)
_LATE_MS = const(2000)
_MOST_BITS = const(64)
SLOT = const(4)  # in world.timers, behind those of the chip


class WiegandReader:
    """`due` and `fire` are what world.timers asks for; `send` takes bits of a test's choice."""

    def __init__(self, d0_pin, d1_pin):
        self.repeat_ms = 0  # a card that lies there is sent again after this; 0: never
        self._pins = (d0_pin, d1_pin)
        self._bits = bytearray(_MOST_BITS)
        self._count = 0
        self._next = 0
        self._card = ""
        self.due = 0

    def changed(self):
        """world.set() was called."""
        if world.card == self._card:
            return
        self._card = world.card
        if not self._next:
            world.timers[SLOT] = None  # nothing more of the card before
        if self._card and world.reader_fault not in _SILENT:
            self._encode()

    def _encode(self):
        uid = binascii.unhexlify(self._card)
        size = 3 if len(uid) == 3 else 4
        bits = self._bits
        half = size * 4
        even = 0
        odd = 1
        for i in range(size * 8):
            byte = uid[i >> 3] if i >> 3 < len(uid) else 0
            bit = byte >> (7 - (i & 7)) & 1
            bits[i + 1] = bit
            if i < half:
                even ^= bit
            else:
                odd ^= bit
        self._count = size * 8 + 2
        bits[0] = even
        bits[self._count - 1] = odd
        fault = world.reader_fault
        if fault == "checksum":
            bits[0] ^= 1
        elif fault == "garbage":
            self._count += 5
        elif fault == "resets":
            self._count -= 7
        self._begin(_LATE_MS if fault == "late" else _START_MS)

    def send(self, bits):
        """Send these bits (a sequence of 0 and 1) now."""
        self._count = len(bits)
        for i in range(len(bits)):
            self._bits[i] = bits[i]
        self._begin(1)

    def _begin(self, after_ms):
        self._next = 0
        self.due = (world.ms + after_ms) & _MASK
        world.timers[SLOT] = self

    def fire(self):
        """A bit is due."""
        world.pulse(self._pins[self._bits[self._next]])
        self._next += 1
        self.due = (self.due + _BIT_MS) & _MASK
        if self._next == self._count:
            self._next = 0
            if self.repeat_ms and self._card:
                self.due = (self.due + self.repeat_ms) & _MASK
            else:
                world.timers[SLOT] = None
