"""What outlives the filesystem: the few bytes in the chip's NVS that boot.py reads by itself.

Promises: an entry is written only when it changes, because NVS lies on flash. boot.py knows the
same names by heart, since it must work when only itself was flashed: change both or none.
"""

import esp32

_NAMESPACE = "holdfast"
_SAFE = "safe"  # blob: pairs of bytes, pin and level
_MAINTENANCE = "maint"  # 1: outputs safe, no application, no watchdog


def set_safe_pins(pairs):
    """Remember the (pin, level) byte `pairs` that boot.py drives before anything else."""
    store = esp32.NVS(_NAMESPACE)
    stored = bytearray(len(pairs))
    try:
        same = store.get_blob(_SAFE, stored) == len(pairs) and stored == pairs
    except OSError:  # none yet, or a longer one
        same = False
    if not same:
        store.set_blob(_SAFE, pairs)
        store.commit()


def is_maintenance():
    """True when the next start leaves the application out."""
    try:
        return esp32.NVS(_NAMESPACE).get_i32(_MAINTENANCE) == 1
    except OSError:
        return False


def set_maintenance(on):
    """Ask the next start to leave the application out, or to start it again."""
    if bool(on) != is_maintenance():
        store = esp32.NVS(_NAMESPACE)
        store.set_i32(_MAINTENANCE, 1 if on else 0)
        store.commit()


def number(name):
    """The number kept under `name` (15 characters at most); 0 if there is none."""
    try:
        return esp32.NVS(_NAMESPACE).get_i32(name)
    except OSError:
        return 0


def set_number(name, value):
    """Keep a number of 31 bits under `name`; written only when it changes."""
    if number(name) != value:
        store = esp32.NVS(_NAMESPACE)
        store.set_i32(name, value)
        store.commit()
