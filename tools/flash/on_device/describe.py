# What this MicroPython is, and how much room its filesystem has. Sent while the heap may still be
# full of the application that was just interrupted: it stays small.
# ruff: noqa: F821
# mypy: ignore-errors
import gc

gc.collect()
import os  # noqa: E402
import sys  # noqa: E402

try:
    from esp32 import NVS
except ImportError:
    NVS = None
room = os.statvfs("/")
tell(
    {
        "version": list(sys.implementation[1][:3]),
        "mpy": getattr(sys.implementation, "_mpy", 0),
        "platform": sys.platform,
        "nvs": NVS is not None,
        "block_bytes": room[0],
        "free_bytes": room[0] * room[3],
    }
)
