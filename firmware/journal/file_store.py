"""A directory of LittleFS as the journal's sectors, one file each, for a board without a partition.

LittleFS copies on write: each sync of an appended file erases a block and copies what the last
block held, whatever was appended. So the journal holds checkpoints back and writes them together
with the next record that must be durable at once; docs/journal.md has what that costs.
"""

import os

from micropython import const

_ENOSPC = const(28)  # not among the names of MicroPython's errno


class FileStore:
    """Files 00, 01, ... of at most `size` bytes in `directory`, which is made if need be.

    `hold_s` is how long a checkpoint may be held back. Few large files, because LittleFS reads 2
    to 14 KB of its directories to open one, and the start of the journal opens all of them.
    """

    wears = False  # the file system deals with bad blocks
    group = 288

    def __init__(self, directory, sectors=10, size=57344, hold_s=3600):
        self._directory = directory
        self.sectors = sectors
        self.size = size
        self.hold_s = hold_s
        self._file = None
        self._open = -1
        self._writable = False
        self.full = False  # the last write found no room in the file system
        try:
            os.mkdir(directory)
        except OSError:
            pass  # it is there already, or nothing can be written: the first write will tell

    def _path(self, i):
        return f"{self._directory}/{i:02x}"

    def _select(self, i, mode):
        # What is only read is opened so: LittleFS writes its entry anew, with the time of day, for
        # each file that was open for writing, whether anything was written or not.
        writable = mode != "rb"
        if self._open != i or writable and not self._writable:
            self.close()
            self._file = open(self._path(i), mode)
            self._open = i
            self._writable = writable
        return self._file

    def close(self):
        """Let go of the file that is open."""
        self._open = -1
        file, self._file = self._file, None
        if file:
            file.close()

    def read(self, i, at, buffer):
        """Fill the buffer from sector `i`; what is not in its file reads as erased."""
        n = 0
        try:
            file = self._select(i, "rb")
            file.seek(at)
            n = file.readinto(buffer)
        except OSError:
            self.close()
        for k in range(n, len(buffer)):
            buffer[k] = 255

    def program(self, i, at, data, durable=True):
        """Write into the file, from `at` on; False if the file system refuses.

        Not `durable`: a power cut may take it, and what was written so before, until the next
        write that is.
        """
        try:
            try:
                file = self._select(i, "r+b")
            except OSError:
                file = self._select(i, "w+b")
            missing = at - file.seek(0, 2)
            while missing > 0:
                missing -= file.write(b"\xff" * min(64, missing))
            file.seek(at)
            file.write(data)
            if durable:
                file.flush()
        except OSError as e:
            self.full = e.errno == _ENOSPC
            try:
                self.close()
            except OSError:
                pass
            return False
        return True

    def blank(self, i):
        """True if the file is missing or empty."""
        try:
            if self._open == i:
                self.close()
            return os.stat(self._path(i))[6] == 0
        except OSError:
            return True

    def erase(self, i):
        """Remove the file; False if the file system refuses."""
        try:
            if self._open == i:
                self.close()
            os.remove(self._path(i))
        except OSError:
            return self.blank(i)
        return True
