"""A flash partition as the journal's sectors: erase a whole one, program any bytes of it.

What was programmed is read back and compared: a flash that refuses a write is noticed at once.
"""

from micropython import const

_MOST_SECTORS = const(254)
_PART = const(128)


class RawStore:
    """`device` has readblocks, writeblocks and ioctl, as esp32.Partition has them."""

    wears = True  # a sector that refused a write is remembered
    group = 96  # bytes that the journal may hold back; one record
    hold_s = 0

    def __init__(self, device):
        self._device = device
        self.size = device.ioctl(5, 0)
        self.sectors = min(_MOST_SECTORS, device.ioctl(4, 0))
        self._part = bytearray(_PART)

    def read(self, i, at, buffer):
        """Fill the buffer from sector `i`; OSError if the flash cannot be read."""
        if self._device.readblocks(i, buffer, at):
            raise OSError(5)

    def program(self, i, at, data, durable=True):
        """Clear bits from `at` on; False if the flash holds anything else than `data` then."""
        try:
            if self._device.writeblocks(i, data, at):
                return False
            done = 0
            while done < len(data):
                n = min(_PART, len(data) - done)
                part = memoryview(self._part)[:n]
                self.read(i, at + done, part)
                if part != data[done : done + n]:
                    return False
                done += n
        except OSError:
            return False
        return True

    def blank(self, i):
        """True if every bit of the sector is set."""
        try:
            for at in range(0, self.size, _PART):
                self.read(i, at, self._part)
                if min(self._part) < 255:
                    return False
        except OSError:
            return False
        return True

    def erase(self, i):
        """Erase a sector; False if it is not blank then."""
        try:
            if self._device.ioctl(6, i):
                return False
        except OSError:
            return False
        return self.blank(i)
