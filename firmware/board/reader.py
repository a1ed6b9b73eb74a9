"""What every card reader does: tell a new card from one that is still there.

Promises: `step` is True once for each card that is newly presented; a card that stays counts once,
and again only after it was missed in so many looks in a row that it was away for about a second. A
shorter break is no new tap: a PN532 can miss a card that lies still in every second look (it
answers one request and ignores the next), and a hand trembles at the edge of the field. Looks that
failed do not count, so a reader that breaks down and comes back does not tap a card that never
left.

`uid` holds the number of the last new card in its first `length` bytes. `ok` is False while the
reader is silent or talks nonsense; `failures` counts what went wrong. Nothing is logged here.
"""

from micropython import const

# Several cards in one purse are found in turn, and each of them counts once.
_CARDS = const(4)
_ROW = const(12)  # looks left until the card is forgotten (0: free), length of its number, number
_ALL = const(48)
_LONGEST = const(10)


class CardReader:
    """The part that the readers share; each has its own `step(now_ms)`, to be called every tick."""

    def __init__(self, part):
        self.name = part["kind"]
        self.uid = bytearray(_LONGEST)
        self.length = 0
        self.ok = True
        self.failures = 0
        self._slots = bytearray(_ALL)

    def _look(self, data, at, length, count):
        """A look into the field: the card with the number at `at` in `data` is there.

        `length` 0: no card is. True if it is a new one; it is remembered for `count` looks.
        """
        slots = self._slots
        oldest = 0
        known = False
        for row in range(0, _ALL, _ROW):
            if slots[row]:
                slots[row] -= 1
                if slots[row + 1] == length:
                    i = 0
                    while i < length and slots[row + 2 + i] == data[at + i]:
                        i += 1
                    if i == length:
                        slots[row] = count
                        known = True
            if slots[row] < slots[oldest]:
                oldest = row
        if known or not length:
            return False
        slots[oldest] = count
        slots[oldest + 1] = self.length = length
        for i in range(_LONGEST):
            self.uid[i] = data[at + i] if i < length else 0
            slots[oldest + 2 + i] = self.uid[i]
        return True
