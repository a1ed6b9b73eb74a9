"""A NOR flash chip in a file: erasing sets whole sectors to ones, programming only clears bits.

Promises: the file always holds what the chip holds, byte for byte, after every operation (it is
written through, so that killing the process is a power cut); nothing is allocated and nothing
raised while it works, because LittleFS may call with the heap locked. A program that would have to
set a bit leaves it clear, as the chip does, and is counted in `bad_programs`.

It does not model wear or misread commands.
"""

from micropython import const

SECTOR = const(4096)
_PAGE = const(256)


class FlashChip:
    """`file` is open for reading and writing, unbuffered, and as long as the chip."""

    def __init__(self, file, size):
        self._file = file
        self.size = size
        self.bytes_read = 0
        self.erases = 0
        self.programs = 0
        self.bad_programs = 0
        self.erase_ms = 0  # how long an erase stops everything
        self.stall = None  # called with erase_ms
        self.busy = False  # nothing of the firmware may run: a callback from LittleFS is under way
        self._page = bytearray(_PAGE)
        self._half = bytearray(_PAGE // 2)  # the size that LittleFS programs at once
        self._ones = b"\xff" * _PAGE
        self._half_ones = b"\xff" * (_PAGE // 2)

    def read(self, address, buffer):
        """Fill the buffer; 0, or -5 when it reaches beyond the chip."""
        if address < 0 or address + len(buffer) > self.size:
            return -5
        self._file.seek(address)
        self._file.readinto(buffer)
        self.bytes_read += len(buffer)
        return 0

    def erase(self, address, length):
        """Erase the sectors of a range that starts and ends on their borders; 0 or -5."""
        if address < 0 or address + length > self.size or (address | length) & (SECTOR - 1):
            return -5
        self._file.seek(address)
        left = length
        while left > 0:
            self._file.write(self._ones)
            left -= _PAGE
        self.erases += length // SECTOR
        if self.erase_ms and self.stall is not None:
            self.stall(self.erase_ms * (length // SECTOR))
        return 0

    def program(self, address, buffer):
        """Clear the bits that are clear in the buffer; 0, or -5 beyond the chip."""
        total = len(buffer)
        if address < 0 or address + total > self.size:
            return -5
        done = 0
        while done < total:
            n = total - done
            page = self._page
            ones = self._ones
            if n == _PAGE // 2:
                page = self._half
                ones = self._half_ones
            elif n > _PAGE:
                n = _PAGE
            self._file.seek(address + done)
            self._file.readinto(page, n)
            if n == len(page) and page == ones:
                self._file.seek(address + done)
                self._file.write(buffer, done, n)
                self.programs += 1
                done += n
                continue
            i = 0
            while i < n:
                new = buffer[done + i]
                if new & ~page[i]:
                    self.bad_programs += 1
                page[i] &= new
                i += 1
            self._file.seek(address + done)
            self._file.write(page, n)
            self.programs += 1
            done += n
        return 0
