"""A reader with Wiegand output: two wires, a short low pulse on one of them for each bit.

Promises: `step` waits for nothing, allocates nothing and touches no pin; the bits are taken by two
interrupts. A frame has 26 or 34 bits and both its parities right, or it is dropped and counted in
`failures`, as is one that an erase of flash has torn. 26 bits give the three bytes of the number
after a 00, since a number has 4, 7 or 10 bytes; 34 bits give four bytes. The wires say nothing
between two cards: nobody can tell a dead reader from one without a card, and `ok` stays True.

Such a reader may pass on the bytes of a card in another order than a PN532 reads them, and of a
longer number only a part: learn a card at the kind of reader at which it is to be known.
"""

import time

import machine
from micropython import const

from firmware import ticks
from firmware.board.reader import CardReader

# Between two bits pass 0.2 to some 20 ms, between two frames more than twice that.
_END_MS = const(50)
_MOST_BITS = const(40)
_EVERY_MS = const(150)  # a look: no frame in it, and a card is missed once
_LOOKS = const(10)  # 1.5 s: some readers repeat a card that lies there, about once a second


class Wiegand(CardReader):
    """Takes cards from the description's part "reader" of kind wiegand."""

    def __init__(self, part):
        super().__init__(part)
        self._bits = bytearray(_MOST_BITS)
        self._count = 0
        self._bit_ms = time.ticks_ms() & ticks.MASK
        self._started_ms = self._bit_ms
        pin = machine.Pin
        pull = pin.PULL_UP if part.get("pull_up") else None
        # Kept: an interrupt whose pin object is gone would end.
        self._pins = (pin(part["d0_pin"], pin.IN, pull), pin(part["d1_pin"], pin.IN, pull))
        self._pins[0].irq(handler=self._on_zero, trigger=pin.IRQ_FALLING)
        self._pins[1].irq(handler=self._on_one, trigger=pin.IRQ_FALLING)

    def _on_zero(self, _pin):
        if self._count < _MOST_BITS:
            self._bits[self._count] = 0
            self._count += 1
        self._bit_ms = time.ticks_ms() & ticks.MASK

    def _on_one(self, _pin):
        if self._count < _MOST_BITS:
            self._bits[self._count] = 1
            self._count += 1
        self._bit_ms = time.ticks_ms() & ticks.MASK

    def step(self, now_ms):
        """Take the frame that has come, if any; True if it is a new card: `uid`, `length`."""
        bits = self._bits
        if ticks.diff(now_ms, self._started_ms) >= _EVERY_MS:
            self._started_ms = now_ms
            self._look(bits, 0, 0, 0)
        count = self._count
        if not count or ticks.diff(now_ms, self._bit_ms) < _END_MS:
            return False
        # Even parity over the first half of the bits, odd over the second.
        first = second = 0
        for i in range(count):
            if 2 * i < count:
                first ^= bits[i]
            else:
                second ^= bits[i]
        new = False
        if count not in (26, 34) or first or not second:
            self.failures = (self.failures + 1) & ticks.MASK
        else:
            # Pack the bits into the front of their own buffer, behind a 00 if there are only 24.
            spare = 34 - count
            byte = 0
            for i in range(spare, 32):
                byte = byte << 1 & 255 | bits[i + 1 - spare]
                if i & 7 == 7:
                    bits[i >> 3] = byte
            if spare:
                bits[0] = 0
            new = self._look(bits, 0, 4, _LOOKS)
        self._count = 0
        return new
