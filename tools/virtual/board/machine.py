"""The ESP32's `machine` module, played on the pins of the virtual board.

Promises: names, constants and errors as MicroPython 1.25 has them on the ESP32, as far as Holdfast
and what it may grow into use them; pins that an ESP32 does not have or cannot drive are refused;
nothing allocates in `Pin.value`, `ADC.read_uv`, `PWM.duty_u16`, `WDT.feed`. Callbacks of Timer and
Pin.irq run at their due time; what they raise is printed and counted, and goes no further, as on
the device.

Buses (UART, I2C, SPI) have nothing on them until a test or the bench attaches a device.
"""

import sys

import utime
import world
from micropython import const

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

_OUT = const(3)
_INPUT_ONLY = const(34)
_PINS = const(40)

# Set by the boot ROM.
cause = PWRON_RESET
identity = b"\x24\x0a\xc4\x00\x00\x01"
reset_hook = None  # called with "hard", "soft" or "deepsleep"; must not return
wdt_hook = None  # called with the timeout in ms
feed_hook = None
rtc_hook = None


class Reset(BaseException):
    """Without a boot ROM (a script that uses the fakes directly) a reset ends as this."""


def wire(board):
    """Connect the world to the pins, see world.wire(), and the card reader to its bus or pins."""
    world.reader = None
    world.timers[4] = None
    devices.clear()
    world.wire(board)
    part = board.get("reader")
    if part:
        if part["kind"] == "wiegand":
            import wiegand_reader

            world.reader = wiegand_reader.WiegandReader(part["d0_pin"], part["d1_pin"])
        else:
            import pn532_chip

            world.reader = pn532_chip.attach(part, devices)
        world.reader.changed()


def _check_pin(n):
    if not isinstance(n, int) or n < 0 or n > 39 or n in (20, 24, 28, 29, 30, 31):
        raise ValueError("invalid pin")
    return n


def _number(pin):
    return pin._n if isinstance(pin, Pin) else _check_pin(pin)


_pins = [None] * _PINS


def make_pins():
    """Make the objects of all pins, so that they are not charged to who uses them."""
    for n in range(_PINS):
        try:
            Pin(n)
        except ValueError:
            pass  # no such pin


class Pin:
    """GPIO 0 to 39; 34 and up are inputs without pulls."""

    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2
    WAKE_LOW = 4
    WAKE_HIGH = 5
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3

    def __new__(cls, pin, *rest, **named):
        # As on the device there is one object for each pin, which was there from the start.
        n = _number(pin)
        if _pins[n] is None:
            _pins[n] = its = object.__new__(cls)
            its._n = n
            its._handler = None
            its._trigger = its._seen = 0
        return _pins[n]

    def __init__(self, pin, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if mode != -1 or pull != -1 or value is not None:
            self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if self._n >= _INPUT_ONLY and mode not in (-1, None, Pin.IN):
            raise ValueError("pin can only be input")
        world.configure(
            self._n,
            -1 if mode is None else mode,
            -1 if value is None else 1 if value else 0,
            0 if pull is None else pull,
        )

    def value(self, new=None):
        if new is None:
            world.sync()
            return world.read_pin(self._n)
        world.drive(self._n, 1 if new else 0)

    def __call__(self, new=None):
        return self.value(new)

    def on(self):
        world.drive(self._n, 1)

    def off(self):
        world.drive(self._n, 0)

    def toggle(self):
        world.drive(self._n, 1 - world.level[self._n])

    def irq(self, handler=None, trigger=3, *, wake=None, hard=False):
        self._handler = handler
        self._trigger = trigger
        self._seen = world.read_pin(self._n)
        for pin in world.irqs:
            if pin._n == self._n:
                world.irqs.remove(pin)
                break
        if handler is not None:
            world.irqs.append(self)
        return self

    def edge(self):
        """The world may have changed this input: call the handler if it did."""
        now = world.read_pin(self._n)
        if now != self._seen:
            self._seen = now
            if self._trigger & (1 if now else 2):
                _guarded(self._handler, self)

    def __repr__(self):
        return "Pin({})".format(self._n)


def _guarded(callback, argument):
    """Run a callback as the device's scheduler does: an exception is printed, and no more."""
    try:
        callback(argument)
    except Exception as error:
        world.callback_errors += 1
        print("Unhandled exception in scheduled callback")
        sys.print_exception(error)


class Signal:
    """A pin, perhaps inverted."""

    def __init__(self, pin, *arguments, invert=False, **settings):
        self._pin = pin if isinstance(pin, Pin) else Pin(pin, *arguments, **settings)
        self._invert = invert

    def value(self, new=None):
        if new is None:
            return self._pin.value() ^ self._invert
        self._pin.value(bool(new) ^ self._invert)

    def __call__(self, new=None):
        return self.value(new)

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


class PWM:
    """LEDC channel. A duty of 0 is steadily low, 65535 steadily high."""

    def __init__(self, pin, freq=0, *, duty=None, duty_u16=None, duty_ns=None, invert=False):
        self._n = _number(pin)
        if self._n >= _INPUT_ONLY:
            raise ValueError("invalid pin")
        self._freq = 0
        self._duty = 32768
        self.init(freq=freq or 5000, duty=duty, duty_u16=duty_u16, duty_ns=duty_ns)

    def init(self, freq=0, *, duty=None, duty_u16=None, duty_ns=None, invert=False):
        if freq:
            self._freq = _check_freq(freq)
        if duty is not None:
            self._duty = min(65535, duty * 64)
        if duty_u16 is not None:
            self._duty = _check_duty(duty_u16)
        if duty_ns is not None:
            self._duty = min(65535, duty_ns * self._freq // 15259)
        world.pwm(self._n, self._freq, self._duty)

    def deinit(self):
        """The output ends low."""
        self._freq = 0
        world.level[self._n] = 0
        world.pwm(self._n, 0, 0)

    def freq(self, freq=None):
        if freq is None:
            return self._freq
        self._freq = _check_freq(freq)
        world.pwm(self._n, self._freq, self._duty)

    def duty_u16(self, duty=None):
        if duty is None:
            return self._duty
        self._duty = _check_duty(duty)
        world.pwm(self._n, self._freq, duty)

    def duty(self, duty=None):
        if duty is None:
            return self._duty >> 6
        self.duty_u16(min(65535, duty * 64))

    def duty_ns(self, duty=None):
        if duty is None:
            return self._duty * 15259 // self._freq
        self.duty_u16(min(65535, duty * self._freq // 15259))


def _check_freq(freq):
    if not 0 < freq <= 40000000:
        raise ValueError("freqency must be from 1Hz to 40MHz")
    return freq


def _check_duty(duty):
    if not 0 <= duty <= 65535:
        raise ValueError("duty_u16 must be from 0 to 65535")
    return duty


# Input range by attenuation, mV: what read_uv() can reach.
_RANGE_MV = (1100, 1500, 2000, 3180)


class ADC:
    """One-shot ADC. Pins 32 to 39 are ADC1; the others (ADC2) fail while WiFi is on."""

    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3
    WIDTH_9BIT = 9
    WIDTH_10BIT = 10
    WIDTH_11BIT = 11
    WIDTH_12BIT = 12

    def __init__(self, pin, *, atten=0):
        self._n = _number(pin)
        self._adc2 = self._n < 32
        if self._adc2 and self._n not in (0, 2, 4, 12, 13, 14, 15, 25, 26, 27):
            raise ValueError("invalid pin")
        self.atten(atten)

    def init(self, *, atten=0):
        self.atten(atten)

    def atten(self, atten):
        if not 0 <= atten <= 3:
            raise ValueError("invalid atten")
        self._range_mv = _RANGE_MV[atten]

    def width(self, bits):
        """Accepted; readings have twelve bits whatever is asked."""

    def _mv(self):
        n = self._n
        if n == world.pilot_adc:
            v = world.pilot_mv()
        else:
            if n == world.proximity_adc:
                v = world.proximity_mv
            elif n == world.temperature_adc:
                v = world.temperature_mv
            elif self._adc2 and world.live and world.wlan_active:
                raise OSError(110)
            else:
                v = 142  # a floating input of the ESP32 reads about this
            world.elapse_us(world.adc_conversion_us)
        return v if v < self._range_mv else self._range_mv

    def read_uv(self):
        if world.live:
            world.sync()
        return self._mv() * 1000

    def read_u16(self):
        world.sync()
        return self._mv() * 65535 // self._range_mv

    def read(self):
        world.sync()
        return self._mv() * 4095 // self._range_mv


class Timer:
    """Hardware timers 0 to 3; the callback is scheduled, as on the device."""

    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, id, **settings):
        self._id = id & 3
        self._period = 0
        self._callback = None
        self.due = 0
        if settings:
            self.init(**settings)

    def init(self, *, mode=1, freq=-1, period=-1, tick_hz=1000, callback=None, hard=False):
        if freq != -1:
            period = max(1, int(1000 // freq))
        elif tick_hz != 1000:
            period = period * 1000 // tick_hz
        world.sync()
        self._period = max(1, period)
        self._periodic = mode == 1
        self._callback = callback
        self.due = (world.ms + self._period) & 0x3FFFFFFF
        world.timers[self._id] = self

    def deinit(self):
        if world.timers[self._id] is self:
            world.timers[self._id] = None

    def value(self):
        world.sync()
        return self._period - world.diff(self.due, world.ms)

    def fire(self):
        """Called by the world at the due time."""
        if self._periodic:
            self.due = (self.due + self._period) & 0x3FFFFFFF
        else:
            world.timers[self._id] = None
        if self._callback is not None:
            _guarded(self._callback, self)


class WDT:
    """Task watchdog: once started it cannot be stopped."""

    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError("WDT(%d) doesn't exist" % id)
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        self._timeout = timeout
        if wdt_hook:
            wdt_hook(timeout)
        else:
            world.watchdog(timeout)

    def feed(self):
        if feed_hook:
            feed_hook()
        else:
            world.watchdog(self._timeout)


class RTC:
    """Seconds since 2000; starts there at power-on, survives every other reset."""

    def init(self, datetime):
        self.datetime(datetime)

    def datetime(self, new=None):
        import time

        if new is None:
            y, month, day, hour, minute, second, weekday, _ = time.gmtime()
            return (y, month, day, weekday, hour, minute, second, 0)
        y, month, day, _, hour, minute, second, _ = new
        time.set_seconds(time.mktime((y, month, day, hour, minute, second, 0, 0)))
        if rtc_hook:
            rtc_hook()

    def memory(self, data=None):
        global _rtc_memory
        if data is None:
            return _rtc_memory
        _rtc_memory = bytes(data)


_rtc_memory = b""

# Devices on the buses: {("uart", 1): device, ("i2c", 0, 0x24): device, ("spi", 1): device}.
# UART device: received(data) is told what the board sent; waiting() says how many bytes have come,
# take(buffer, count) moves them. I2C device: write(data), read_into(buffer); what they raise goes
# to the firmware. SPI device: exchange(data) -> bytes.
devices = {}
i2c_bytes = 0  # all that went over the I2C buses so far, addresses included


class UART:
    """Serial port 1 or 2. Reading and writing allocate nothing but what read() returns."""

    INV_TX = 1
    INV_RX = 2
    RTS = 1
    CTS = 2

    def __init__(self, id, baudrate=115200, **settings):
        if not 0 <= id <= 2:
            raise ValueError("UART(%d) does not exist" % id)
        self._key = ("uart", id)
        for name in ("tx", "rx"):
            if name in settings:
                _number(settings[name])

    def init(self, baudrate=115200, **settings):
        pass

    def deinit(self):
        pass

    def any(self):
        device = devices.get(self._key)
        return device.waiting() if device else 0

    def read(self, count=-1):
        waiting = self.any()
        if not waiting:
            return None
        buffer = bytearray(waiting if count < 0 else min(waiting, count))
        self.readinto(buffer)
        return bytes(buffer)

    def readinto(self, buffer, count=-1):
        count = min(self.any(), len(buffer) if count < 0 else count)
        if not count:
            return None
        devices[self._key].take(buffer, count)
        return count

    def write(self, data):
        device = devices.get(self._key)
        if device:
            device.received(data)
        return len(data)

    def flush(self):
        pass

    def txdone(self):
        return True


class I2C:
    """Bus 0 or 1; an address where nothing is attached answers ENODEV. A byte takes nine clocks."""

    def __init__(self, id=0, *, scl=None, sda=None, freq=400000, timeout=50000):
        if not 0 <= id <= 1:
            raise ValueError("I2C(%d) doesn't exist" % id)
        self._id = id
        self._ten_bytes_us = 90000000 // freq
        self._address = -1
        self._key = None

    def _device(self, address, count):
        """The device there, after the time that its address and `count` bytes take."""
        global i2c_bytes
        i2c_bytes += 1 + count
        world.elapse_us((1 + count) * self._ten_bytes_us // 10)
        if address != self._address:
            self._address = address
            self._key = ("i2c", self._id, address)
        device = devices.get(self._key)
        if device is None:
            raise OSError(19)
        return device

    def scan(self):
        return [key[2] for key in devices if key[0] == "i2c" and key[1] == self._id]

    def writeto(self, address, data, stop=True):
        self._device(address, len(data)).write(data)
        return len(data)

    def readfrom(self, address, count, stop=True):
        buffer = bytearray(count)
        self.readfrom_into(address, buffer)
        return bytes(buffer)

    def readfrom_into(self, address, buffer, stop=True):
        self._device(address, len(buffer)).read_into(buffer)

    def writeto_mem(self, address, register, data, *, addrsize=8):
        self.writeto(address, bytes([register]) + bytes(data))

    def readfrom_mem(self, address, register, count, *, addrsize=8):
        self.writeto(address, bytes([register]))
        return self.readfrom(address, count)


SoftI2C = I2C


class SPI:
    """Bus 1 or 2; without a device everything reads as ones."""

    MSB = 0
    LSB = 1

    def __init__(self, id=1, baudrate=1000000, **settings):
        self._id = id

    def init(self, **settings):
        pass

    def deinit(self):
        pass

    def write(self, data):
        device = devices.get(("spi", self._id))
        if device:
            device.exchange(bytes(data))

    def read(self, count, fill=0):
        buffer = bytearray([fill] * count)
        self.write_readinto(buffer, buffer)
        return bytes(buffer)

    def readinto(self, buffer, fill=0):
        self.write_readinto(bytes([fill] * len(buffer)), buffer)

    def write_readinto(self, data, buffer):
        device = devices.get(("spi", self._id))
        answer = device.exchange(bytes(data)) if device else b"\xff" * len(data)
        buffer[:] = answer


SoftSPI = SPI


def reset():
    """Hard reset; does not return."""
    _reset("hard")


def soft_reset():
    """Soft reset; does not return. Output pins keep their levels."""
    _reset("soft")


def deepsleep(time_ms=0):
    _reset("deepsleep")


def _reset(kind):
    if reset_hook:
        reset_hook(kind)
    raise Reset(kind)


def reset_cause():
    return cause


def wake_reason():
    return 0


def unique_id():
    return identity


def freq(hz=None):
    return 160000000


def idle():
    world.sync()


def lightsleep(time_ms=0):
    import time

    time.sleep_ms(time_ms)


sleep = lightsleep


def disable_irq():
    return 1


def enable_irq(state=1):
    pass


def time_pulse_us(pin, pulse_level, timeout_us=1000000):
    return -2


def bitstream(pin, encoding, timing, data):
    pass
