"""A PN532 and the card in its field, on the UART or the I2C bus of the virtual board.

Speaks the frames of NXP's user manual UM0701-02 byte by byte and takes the time for it that a real
one would: it sleeps after power-on until it is woken, acknowledges, looks for a card as often as it
was told, answers. A second frame from the host ends the command under way. Allocates nothing while
it does so.

`world.card` is the card's number in hexadecimal. `world.reader_fault`: "unplugged": silent, and
everything forgotten; "hangs": neither acknowledges nor answers; "garbage": bytes without sense all
the time; "checksum": the last byte of each answer is wrong; "late": answers two seconds late;
"no_ack": answers without an acknowledge; "resets": starts anew in the middle of each answer about
cards; "stuck" (I2C): holds the clock until the host gives up. Tests reach deeper through
`world.reader`: see the attributes.
"""

import binascii

import world
from micropython import const

_MASK = const(0x3FFFFFFF)
_OUT = const(96)
_WAKE_MS = const(2)  # until the oscillator runs after the edges of a 55; bytes before that are lost
_ACK_MS = const(1)
_COMMAND_MS = const(2)
_TRY_MS = const(5)
_LATE_MS = const(2000)
_TEN_BYTES_US = const(868)  # at 115,200 Bd

_RATS = const(0x10)  # SetParameters: answers of ISO 14443-4 cards are fetched unasked


class Pn532Chip:
    """One chip. `attach` puts it onto its bus."""

    def __init__(self):
        self.cut_after = -1  # so many bytes more leave the chip, then none; -1: all
        self.corrupt_at = -1  # the byte after so many more is changed by `corrupt_by`
        self.corrupt_by = 0xFF
        self.alternates = False  # a card that lies there is found in every second look
        self.stray = b""  # bytes of noise that come before the next acknowledge
        self.looks = 0  # how often it looked for a card
        self.frames = 0  # whole frames that it understood
        self._uid = bytearray(10)
        self._size = 0
        self._out = bytearray(_OUT)
        self._in = bytearray(64)
        self._seed = 4711
        self._lay_there = False
        self._power_on()

    def _power_on(self):
        self._asleep = True
        self._waking = False
        self._awake_ms = 0
        self._configured = False
        self._retries = 255
        self._parameters = 0x14
        self._count = 0  # bytes of the frame from the host so far
        self._forget()

    def _forget(self):
        """Nothing to say, no command under way."""
        self._first = 0  # bytes of _out that are the acknowledge
        self._total = 0  # and all of them
        self._taken = 0
        self._ack_ms = self._answer_ms = 0
        self._endless = False  # a look that lasts until a card comes

    def changed(self):
        """world.set() was called."""
        uid = binascii.unhexlify(world.card)
        self._size = len(uid)
        self._uid[: len(uid)] = uid
        if world.reader_fault == "unplugged":
            self._power_on()
        elif world.reader_fault == "hangs":
            self._forget()
        elif self._size and self._endless:
            self._endless = False
            self._lay_there = True
            self._answer_ms = (world.ms + _TRY_MS) & _MASK
            self._list(self._size)

    # ------------------------------------------------------------ UART

    def received(self, data):
        """The host sends; the bytes take their time on the wire."""
        world.sync()
        if world.reader_fault in ("unplugged", "hangs"):
            return
        if self._waking and world.diff(world.ms, self._awake_ms) >= 0:
            self._asleep = self._waking = False
        for byte in data:
            if not self._asleep:
                self._frame_byte(byte, len(data) * _TEN_BYTES_US // 10000)
            elif byte == 0x55:
                self._waking = True
                self._awake_ms = (world.ms + _WAKE_MS) & _MASK

    def waiting(self):
        """How many bytes have come to the host by now."""
        world.sync()
        if world.reader_fault == "garbage":
            return 40
        count = self._came(self._ack_ms, self._first)
        if count == self._first:
            count += self._came(self._answer_ms, self._total - self._first)
        return count - self._taken

    def _came(self, since_ms, count):
        if not count:
            return 0
        age_ms = world.diff(world.ms, since_ms)
        if not 0 <= age_ms < 100:  # no product beyond 30 bits
            return count if age_ms > 0 else 0
        return min(count, age_ms * 10000 // _TEN_BYTES_US)

    def take(self, buffer, count):
        """Move `count` bytes of those waiting into `buffer`."""
        for i in range(count):
            if world.reader_fault == "garbage":
                buffer[i] = self._noise()
            else:
                buffer[i] = self._out[self._taken]
                self._taken += 1

    def _noise(self):
        self._seed = self._seed * 75 % 65537
        return self._seed >> 3 & 255

    # ------------------------------------------------------------ I2C

    def write(self, data):
        self._there()
        self._asleep = False  # it stretched the clock of the address until it was awake
        if world.reader_fault == "hangs":
            return
        for byte in data:
            self._frame_byte(byte, 0)

    def read_into(self, buffer):
        """The ready byte and then the frame whose turn it is; what is not fetched is lost."""
        self._there()
        if world.reader_fault == "garbage":
            for i in range(len(buffer)):
                buffer[i] = self._noise()
            return
        for i in range(len(buffer)):
            buffer[i] = 0
        in_ack = self._taken < self._first
        start = 0 if in_ack else self._first
        count = self._first if in_ack else self._total - self._first
        due_ms = self._ack_ms if in_ack else self._answer_ms
        if self._taken >= self._total or world.diff(world.ms, due_ms) < 0:
            return
        buffer[0] = 1
        if len(buffer) > 1:
            for i in range(min(count, len(buffer) - 1)):
                buffer[i + 1] = self._out[start + i]
            self._taken = start + count

    def _there(self):
        world.sync()
        if world.reader_fault == "unplugged":
            raise OSError(19)
        if world.reader_fault == "stuck":
            raise OSError(116)

    # ------------------------------------------------------------ the chip

    def _frame_byte(self, byte, wire_ms):
        """A byte from the host; at the end of a frame it is obeyed."""
        data = self._in
        n = self._count
        if n == 0:
            self._count = 1 if byte == 0 else 0
            return
        if n == 1:
            if byte:
                self._count = 2 if byte == 0xFF else 0
            return
        data[n] = byte
        self._count = n + 1
        if n == 3:
            if data[2] == 0 and byte == 0xFF:  # the host's acknowledge: stop
                self._count = 0
                self._forget()
            elif data[2] + byte & 255 or not 2 <= data[2] < 50:
                self._count = 0
        elif n > 3 and n == data[2] + 4:
            self._count = 0
            total = 0
            for i in range(4, n + 1):
                total += data[i]
            if total & 255 == 0 and data[4] == 0xD4:
                self.frames += 1
                self._obey(wire_ms)

    def _obey(self, wire_ms):
        data = self._in
        self._forget()
        if world.reader_fault != "no_ack":
            for byte in self.stray:
                self._put(byte)
            self._start()
            self._put(0)
            self._put(0xFF)
            self._put(0)
        self.stray = b""
        self._first = self._total
        self._ack_ms = (world.ms + wire_ms + _ACK_MS) & _MASK
        busy_ms = _COMMAND_MS
        code = data[5]
        size = data[2]
        if code == 0x14 and 4 <= size <= 5:
            self._configured = data[6] == 1
            self._begin(2, code)
            self._end()
        elif code == 0x02 and size == 2:
            self._begin(6, code)
            for byte in b"\x32\x01\x06\x07":
                self._put_data(byte)
            self._end()
        elif code == 0x12 and size == 3:
            self._parameters = data[6]
            self._begin(2, code)
            self._end()
        elif code == 0x32 and size == 6 and data[6] == 5:
            self._retries = data[9]
            self._begin(2, code)
            self._end()
        elif code == 0x4A and size == 4 and data[7] == 0 and self._configured:
            self.looks += 1
            self._lay_there = self._size > 0 and not (self.alternates and self._lay_there)
            if self._lay_there:
                busy_ms = _TRY_MS
                self._list(self._size)
            elif self._retries == 255:
                self._endless = True
            else:
                busy_ms = _TRY_MS * (self._retries + 1)
                self._list(0)
        else:  # an application error: a frame of one byte
            self._start()
            self._put(1)
            self._put(0xFF)
            self._put(0x7F)
            self._put(0x81)
            self._put(0)
        if world.reader_fault == "late":
            busy_ms = _LATE_MS
        elif world.reader_fault == "checksum" and self._total > self._first:
            self._out[self._total - 2] ^= 0x10
        # Behind the acknowledge, which takes a good half of a millisecond.
        self._answer_ms = (self._ack_ms + 1 + busy_ms) & _MASK
        if world.reader_fault == "resets" and code == 0x4A:
            # Half of the answer leaves the chip, and then it knows nothing any more.
            first, total, ack_ms = self._first, self._total, self._ack_ms
            answer_ms = self._answer_ms
            self._power_on()
            self._first = first
            self._total = first + (total - first) // 2
            self._ack_ms = ack_ms
            self._answer_ms = answer_ms

    def _list(self, n):
        """The answer to InListPassiveTarget: the card with a number of `n` bytes; 0: no card."""
        if not n:
            self._begin(3, 0x4A)
            self._put_data(0)
            self._end()
            return
        # Longer numbers are on cards that speak ISO 14443-4: these answer to RATS, if asked.
        speaks = n > 4
        rats = speaks and self._parameters & _RATS
        self._begin(8 + n + (6 if rats else 0), 0x4A)
        self._put_data(1)
        self._put_data(1)
        self._put_data(0)
        self._put_data(0x04 if n == 4 else 0x44 if n == 7 else 0x84)
        self._put_data(0x20 if speaks else 0x08)
        self._put_data(n)
        for i in range(n):
            self._put_data(self._uid[i])
        if rats:
            for byte in b"\x06\x75\x77\x81\x02\x80":
                self._put_data(byte)
        self._end()

    def _start(self):
        self._put(0)
        self._put(0)
        self._put(0xFF)

    def _begin(self, size, code):
        self._start()
        self._put(size)
        self._put(-size & 255)
        self._check = 0
        self._put_data(0xD5)
        self._put_data(code + 1)

    def _put_data(self, byte):
        self._check += byte
        self._put(byte)

    def _end(self):
        self._put(-self._check & 255)
        self._put(0)

    def _put(self, byte):
        """A byte on its way to the host, unless the wire is cut."""
        if self.corrupt_at >= 0:
            if self.corrupt_at == 0:
                byte ^= self.corrupt_by
            self.corrupt_at -= 1
        if self.cut_after == 0:
            return
        if self.cut_after > 0:
            self.cut_after -= 1
        self._out[self._total] = byte
        self._total += 1


def attach(part, devices):
    """A chip on the bus that the description's part "reader" names; returns it."""
    chip = Pn532Chip()
    if part["kind"] == "pn532_uart":
        devices[("uart", part["uart"])] = chip
    else:
        devices[("i2c", part["i2c"], 0x24)] = chip
    return chip
