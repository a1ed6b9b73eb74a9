"""Reads the charger's journal on the host, with the very modules that the charger reads it with."""

import sys
import types

if "micropython" not in sys.modules:
    # All that firmware/journal asks of MicroPython beyond Python.
    module = types.ModuleType("micropython")
    module.const = lambda value: value  # type: ignore[attr-defined]
    sys.modules["micropython"] = module
