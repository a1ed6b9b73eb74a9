"""The PN532, a reader chip for cards of ISO/IEC 14443 type A, over UART or I2C.

Promises: `step` waits for nothing (states and deadlines) and allocates nothing, but for the OSError
of an I2C bus on which nobody answers: one a try. On UART it moves at most 32 bytes between two
buffers; on I2C at most 29 bytes go over the bus, 0.7 ms at 400 kHz. Whatever goes wrong (no
acknowledge, no answer, a wrong byte, a chip that reset itself) ends the exchange, and the chip is
set up from the start: after 50 ms, then after pauses that double up to 5 s, for ever. `ok` becomes
False with the second failure in a row, at most 1.4 s after the chip fell silent, and True with the
next whole look. It reads numbers and nothing else: no key, no content of a card.

Frames, commands, the ready byte of I2C and waking up: NXP's user manual UM0701-02.
"""

import time

import machine
from micropython import const

from firmware import ticks
from firmware.board.reader import CardReader

_BAUD = const(115200)
_HERTZ = const(400000)
_ADDRESS = const(0x24)
# The chip stretches the clock while it wakes up. Longer than that means that the bus is stuck,
# which delays one tick in every try by this.
_STRETCH_US = const(3000)

_EVERY_MS = const(150)  # a look for cards
_LOOKS = const(7)  # so many without a card: away for a second
_WAKE_MS = const(5)  # its oscillator starts within 2 ms
_ANSWER_MS = const(500)  # a look without a card takes the chip some 100 ms
_FIRST_PAUSE_MS = const(50)
_LAST_PAUSE_MS = const(5000)

# A frame: 00, start 00 FF, length, its complement, D4 for "from the host", command, checksum, 00.
_COMMANDS = (
    # No command but an acknowledge: it ends a command that is under way. Before it, for a UART,
    # the edges that wake the chip up.
    b"\x55\x55\0\0\xff\0\xff\0",
    # SAMConfiguration: normal mode.
    b"\0\0\xff\x05\xfb\xd4\x14\x01\0\x01\x16\0",
    # RFConfiguration: three tries in a look.
    b"\0\0\xff\x06\xfa\xd4\x32\x05\xff\x01\x02\xf3\0",
    # SetParameters: no automatic RATS, whose answer would make the frame of a card too long.
    b"\0\0\xff\x03\xfd\xd4\x12\0\x1a\0",
    # InListPassiveTarget: one card of 106 kbit/s type A. From here on, in every look.
    b"\0\0\xff\x04\xfc\xd4\x4a\x01\0\xe1\0",
    # The acknowledge for I2C.
    b"\0\0\xff\0\xff\0",
)
_LIST = const(4)
_I2C_FIRST = const(5)
_CODE = const(6)  # where the command stands in its frame

# Data of a card's frame: D5 4B, how many, which, SENS_RES (2), SEL_RES, length, number.
_KEPT = const(18)
_CHUNK = const(32)

_PAUSE = const(0)  # until _due_ms
_ACK = const(1)  # expected until _due_ms
_ANSWER = const(2)

# Where in a frame the next byte belongs.
_ZERO = const(1)  # after a 00: FF would be the start
_SIZE = const(2)
_SIZE_SUM = const(3)
_DATA = const(4)


class Pn532(CardReader):
    """Reads cards through the description's part "reader" of kind pn532_uart or pn532_i2c."""

    def __init__(self, part):
        super().__init__(part)
        self._uart = self._i2c = None
        if "uart" in part:
            self._first = 0
            self._uart = machine.UART(
                part["uart"], _BAUD, tx=part["tx_pin"], rx=part["rx_pin"], timeout=0
            )
        else:
            self._first = _I2C_FIRST
            pin = machine.Pin
            self._i2c = machine.I2C(
                part["i2c"],
                scl=pin(part["scl_pin"]),
                sda=pin(part["sda_pin"]),
                freq=_HERTZ,
                timeout=_STRETCH_US,
            )
        self._buffer = bytearray(_CHUNK)
        view = memoryview(self._buffer)
        # I2C: the ready byte alone, before an acknowledge, before an answer without RATS.
        self._parts = (view[:1], view[:7], view[:26])
        self._answer = bytearray(_KEPT)
        self._at = self._size = self._rest = 0
        self._phase = _PAUSE
        self._step = self._first
        self._due_ms = self._started_ms = time.ticks_ms() & ticks.MASK
        self._wait_ms = _FIRST_PAUSE_MS

    def step(self, now_ms):
        """Go on with the exchange; True if a new card is there: `uid`, `length`."""
        buffer, uart, i2c = self._buffer, self._uart, self._i2c
        phase = self._phase
        i = count = 0
        try:
            # First what has come: it may have lain there while nobody called.
            if uart:
                count = min(uart.any(), _CHUNK)
                if count:
                    count = uart.readinto(buffer, count) or 0
            elif phase:
                i2c.readfrom_into(_ADDRESS, self._parts[0])
                if buffer[0] & 1:
                    i2c.readfrom_into(_ADDRESS, self._parts[phase])
                    count = len(self._parts[phase])
            late = ticks.diff(now_ms, self._due_ms) >= 0
            if not phase:
                if late:
                    self._ask(now_ms)
                return False
        except OSError:
            return self._fail(now_ms)
        # Bytes between frames mean nothing, I2C's ready byte among them. An acknowledge out of
        # place, a refusal and a frame of more than 255 bytes have a wrong length sum.
        at = self._at
        while i < count:
            byte = buffer[i]
            i += 1
            if at >= _DATA:
                if at - _DATA < _KEPT:
                    self._answer[at - _DATA] = byte
                at += 1
                self._rest += byte
                if at - _DATA > self._size:
                    return self._take(now_ms)
            elif at == _SIZE:
                self._size = byte
                at = _SIZE_SUM
            elif at == _SIZE_SUM:
                self._rest = 0
                at = _DATA
                if not self._size and byte == 0xFF and self._phase == _ACK:
                    self._phase = _ANSWER
                    self._due_ms = ticks.add(now_ms, _ANSWER_MS)
                    late = False
                    at = 0
                elif (self._size + byte) & 255:
                    return self._fail(now_ms)
            elif at == _ZERO and byte == 0xFF:
                at = _SIZE
            else:
                at = 0 if byte else _ZERO
        self._at = at
        if late:
            self._fail(now_ms)
        return False

    def _ask(self, now_ms):
        """Send the command whose turn it is."""
        command = _COMMANDS[self._step]
        if self._step == self._first:
            self._step = 1
            self._due_ms = ticks.add(now_ms, _WAKE_MS)
        else:
            self._at = 0
            self._phase = _ACK
            self._started_ms = now_ms
            self._due_ms = ticks.add(now_ms, _ANSWER_MS)
        if self._uart:
            self._uart.write(command)
        else:
            self._i2c.writeto(_ADDRESS, command)

    def _fail(self, now_ms):
        """End the exchange; the chip is set up again after a pause."""
        self.failures = (self.failures + 1) & ticks.MASK
        if self._wait_ms > _FIRST_PAUSE_MS:
            self.ok = False
        self._phase = _PAUSE
        self._step = self._first
        self._due_ms = ticks.add(now_ms, self._wait_ms)
        self._wait_ms = min(self._wait_ms * 2, _LAST_PAUSE_MS)
        return False

    def _take(self, now_ms):
        """A frame has come as a whole; True if it tells of a new card."""
        data, size = self._answer, self._size
        length = 0
        good = (
            not self._rest & 255
            and self._phase == _ANSWER
            and size >= 2
            and data[0] == 0xD5
            and data[1] == _COMMANDS[self._step][_CODE] + 1
        )
        if self._step != _LIST:
            good = good and size == 2
        elif size == 3:
            good = good and not data[2]
        else:
            length = data[7]
            good = good and data[2] == 1 and data[3] == 1 and size >= 8 + length
            good = good and length in (4, 7, 10)
        if not good:
            return self._fail(now_ms)
        self._phase = _PAUSE
        self._at = 0
        if self._step != _LIST:
            self._step += 1
            self._due_ms = now_ms
            return False
        self.ok = True
        self._wait_ms = _FIRST_PAUSE_MS
        self._due_ms = ticks.add(self._started_ms, _EVERY_MS)
        return self._look(data, 8, length, _LOOKS)
