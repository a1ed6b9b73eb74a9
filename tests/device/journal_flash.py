"""A small NOR flash in RAM that writes down what is done to it, and the ways a power cut leaves it.

Programming clears bits, erasing sets them. An operation is (address, bytes), or (address, None)
for the erase of a sector.
"""

DAMAGES = ("nothing", "prefix", "one bit", "all but one bit", "half")


class Nor:
    """A block device as esp32.Partition is one, of `sectors` sectors of `size` bytes.

    `log`, if it is a list, takes each operation. A sector in `refusing` takes no more writes: what
    is programmed into it loses bits silently if its entry is True, and reports an error if False.
    `used` has a 1 for each sector whose content may have decided what happened since: that was read
    or programmed, and not erased before.
    """

    def __init__(self, size, sectors, data=None):
        self.size = size
        self.sectors = sectors
        self.data = data if data is not None else bytearray(b"\xff" * (size * sectors))
        self.log = None
        self.refusing = {}
        self.erases = self.programs = self.programmed = self.bytes_read = 0
        self.used = bytearray(sectors)
        self._unknown = bytearray(b"\x01" * sectors)  # not erased yet
        self._view = memoryview(self.data)

    def readblocks(self, n, buf, offset=0):
        at = n * self.size + offset
        length = len(buf)
        assert 0 <= offset and offset + length <= self.size, "beyond the sector"
        self.bytes_read += length
        self.used[n] |= self._unknown[n]
        buf[:] = self._view[at : at + length]
        return 0

    def writeblocks(self, n, buf, offset=0):
        at = n * self.size + offset
        assert 0 <= offset and offset + len(buf) <= self.size, "beyond the sector"
        if n in self.refusing:
            if self.refusing[n] and len(buf) > 3:
                program(self.data, at, buf, 3)
            return 0 if self.refusing[n] else -5
        if self.log is not None:
            self.log.append((at, bytes(buf)))
        self.programs += 1
        self.programmed += len(buf)
        self.used[n] |= self._unknown[n]
        program(self.data, at, buf, len(buf))
        return 0

    def ioctl(self, op, n):
        if op == 4:
            return self.sectors
        if op == 5:
            return self.size
        if op == 6:
            if n in self.refusing:
                return 0 if self.refusing[n] else -5
            if self.log is not None:
                self.log.append((n * self.size, None))
            self.erases += 1
            self._unknown[n] = 0
            erase(self.data, n * self.size, self.size)
        return 0


def program(data, at, source, length):
    for i in range(length):
        data[at + i] &= source[i]


def erase(data, at, length):
    data[at : at + length] = b"\xff" * length


def do(data, operation, size):
    """The whole operation."""
    at, source = operation
    if source is None:
        erase(data, at, size)
    else:
        program(data, at, source, len(source))


def damaged(data, operation, damage, size, number):
    """Do to `data` what a cut leaves of the operation; `number` chooses where. False: no such way.

    An erase that is all but done leaves single bits clear; one that has hardly begun has set one.
    """
    at, source = operation
    length = size if source is None else len(source)
    if damage == "nothing":
        return True
    if damage == "half" or damage == "prefix":
        part = length // 2 if damage == "half" else 1 + number * 7 % length
        if source is None:
            erase(data, at, part)
        else:
            program(data, at, source, part)
        return True
    bits = []  # the bytes with a bit that changes
    for i in range(length):
        if data[at + i] != 255 if source is None else data[at + i] & ~source[i] & 255:
            bits.append(i)
    if not bits:
        return False
    i = at + bits[number * 13 % len(bits)]
    old = data[i]
    new = 255 if source is None else old & source[i - at]
    changed = old ^ new
    turn = number % 8
    while not changed >> turn & 1:
        turn = (turn + 1) % 8
    if damage == "one bit":
        data[i] = old ^ 1 << turn
    else:
        do(data, operation, size)
        data[i] = new ^ 1 << turn
    return True
