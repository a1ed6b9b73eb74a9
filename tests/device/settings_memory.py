"""Changes settings with less and less memory left: all of a change is in force, or none of it."""

import gc

# Loaded for good: compiling them takes most of the memory, and comes before anything is changed.
from firmware import settings_change, settings_table  # noqa: F401
from firmware.access import schedule_text  # noqa: F401
from firmware.settings import Settings

START = {"mains_v": 230, "wake_mode": "F", "cloud_user": "a", "schedule": "", "phases": 3}
OTHER = {
    "mains_v": 220,
    "wake_mode": "E",
    "cloud_user": "somebody else",
    "schedule": "Mo 10:00-11:00",
    "phases": 1,
}
s = Settings("/nowhere")
s.set_many(OTHER)
s.set_many(START)


def tried(left):
    """Change with some `left` bytes: True, it was taken; False, there was no memory."""
    chain = None
    gc.collect()
    for size in (4096, 256, 32, 16):
        try:
            while gc.mem_free() - size > left + 64:
                chain = (chain, bytearray(size))
        except MemoryError:
            pass  # no piece of this size is left
    try:
        s.set_many(OTHER)
        return True
    except MemoryError:
        chain = None
        return False


taken = refused = 0
for left in range(0, 8192, 16):
    revision = s.revision
    s.changed = []
    done = tried(left)
    found = {name: s.get(name) for name in OTHER}
    if done:
        taken += 1
        assert found == OTHER and s.revision == revision + 1 and len(s.changed) == len(OTHER), left
        s.set_many(START)
    else:
        refused += 1
        assert found == START and s.revision == revision and not s.changed, (left, found)
assert taken > 50 and refused > 50, (taken, refused)
print("ok", taken, refused)
