# As on the ESP32: a global interpreter lock. What the firmware never uses, or would need further
# libraries in 32 bits, is off. 32-bit words come from the compiler that the set-up chooses.
MICROPY_PY_THREAD_GIL = 1
MICROPY_PY_FFI = 0
MICROPY_PY_BTREE = 0
MICROPY_PY_SSL = 0
FROZEN_MANIFEST = $(TOP)/extmod/asyncio/manifest.py
