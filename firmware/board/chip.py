"""What the firmware needs of the chip on any board: watchdog, reset, identity, boot number."""

import binascii
import time

import esp32
import machine

_CAUSES = {1: "power on", 2: "reset", 3: "watchdog", 4: "deep sleep", 5: "soft reset"}  # ESP32


def start_watchdog(timeout_ms):
    """A watchdog with `feed()`; it cannot be stopped, and resets the chip when it is not fed."""
    return machine.WDT(timeout=timeout_ms)


def reset():
    """Restart the chip; does not return."""
    machine.reset()


def reset_cause():
    """Why the chip started, in words."""
    cause = machine.reset_cause()
    return _CAUSES.get(cause, f"cause {cause}")


def identity():
    """The chip's number as hexadecimal text."""
    return binascii.hexlify(machine.unique_id()).decode()


def journal_partition():
    """The raw flash partition labelled "journal", or None on a board that has no such one."""
    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="journal")
    return found[0] if found else None


def set_rtc(utc_s):
    """Set the chip's own clock to `utc_s` (since 2000) unless it is later: TLS looks at it."""
    if utc_s > time.time():
        t = time.gmtime(utc_s)
        machine.RTC().datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0))


def count_boot():
    """Number of this start since NVS was erased, from 1."""
    nvs = esp32.NVS("holdfast")
    try:
        boot = nvs.get_i32("boot") + 1
    except OSError:  # not there yet
        boot = 1
    nvs.set_i32("boot", boot)
    nvs.commit()
    return boot
