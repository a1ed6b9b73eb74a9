"""Runs under MicroPython: a list of keys, made by the firmware's own code, as hexadecimal.

Arguments: an empty folder to work in. Reads one line of JSON, a list of keys.
"""

import json
import sys

from firmware.key_file import KeyFile

folder = sys.argv[1]
keys = KeyFile(folder)
for _ in keys.replacing(json.loads(sys.stdin.readline()), 1):
    pass
keys.close()
with open(folder + "/keys", "rb") as f:
    print(f.read().hex())
