"""Runs under MicroPython with the fakes on its path: reads and writes files on a flash file.

One line of JSON on standard input: "flash", "size", "partitions" say where; "read" lists files to
print (a JSON object of hexadecimal contents, without those that are not there); "write" is a folder
whose files are copied over; "tidy" lists folders from which every file goes that "write" has not,
provided that it has the folder at all.
"""
# MicroPython's os has more than the one that mypy knows.
# mypy: ignore-errors

import binascii
import json
import os
import sys

import esp32
import flash_chip
import vfs

FOLDER = 0x4000


def content(fs, path):
    try:
        with fs.open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def copy(fs, source, target):
    for name, kind, *_ in os.ilistdir(source):
        here, there = source + "/" + name, target + "/" + name
        if kind == FOLDER:
            if name not in [row[0] for row in fs.ilistdir(target)]:
                fs.mkdir(there)
            copy(fs, here, there)
        else:
            with open(here, "rb") as file, fs.open(there, "wb") as out:
                out.write(file.read())


def tidy(fs, source, target):
    try:
        wanted = os.listdir(source)
        there = list(fs.ilistdir(target))
    except OSError:
        return
    for name, kind, *_ in there:
        if kind == FOLDER:
            tidy(fs, source + "/" + name, target + "/" + name)
        elif name not in wanted:
            fs.remove(target + "/" + name)


order = json.loads(sys.stdin.readline())
esp32.chip = flash_chip.FlashChip(open(order["flash"], "r+b"), order["size"])
esp32.table = [tuple(row) for row in order["partitions"]]
fs = vfs.VfsLfs2(esp32.Partition("vfs"))

found = {}
for path in order.get("read", ()):
    data = content(fs, path)
    if data is not None:
        found[path] = binascii.hexlify(data).decode()
if "write" in order:
    for folder in order["tidy"]:
        tidy(fs, order["write"] + "/" + folder, folder)
    copy(fs, order["write"], "")
print(json.dumps(found))
