"""Puts files into a flash file, under MicroPython but without a board around it (see image.py)."""

import json
import os

import esp32
import flash_chip
import vfs


def write(flash, size, partitions, staged):
    """Copy every file in the folder `staged` to the LittleFS2 of the partition "vfs".

    The partition is formatted when it holds no file system. `partitions` is JSON.
    """
    esp32.chip = flash_chip.FlashChip(open(flash, "r+b"), int(size))
    esp32.table = [tuple(row) for row in json.loads(partitions)]
    part = esp32.Partition("vfs")
    try:
        image = vfs.VfsLfs2(part)
    except OSError:
        vfs.VfsLfs2.mkfs(part)
        image = vfs.VfsLfs2(part)
    _copy(image, staged, "")


def _copy(image, source, target):
    for name, kind, *_ in os.ilistdir(source):
        here = source + "/" + name
        there = target + "/" + name
        if kind == 0x4000:
            try:
                image.mkdir(there)
            except OSError:
                pass
            _copy(image, here, there)
        else:
            with open(here, "rb") as file, image.open(there, "wb") as out:
                while True:
                    data = file.read(4096)
                    if not data:
                        break
                    out.write(data)
