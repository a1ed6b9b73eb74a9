"""What a journal costs in RAM: its objects after much use, and those of a reader.

On 64 sectors of a partition, and in files. Prints one "name value" a line.
"""

import gc
import sys

from journal_flash import Nor

from firmware.journal import cursor as reading
from firmware.journal import journal as ring
from firmware.journal import recovery
from firmware.journal.file_store import FileStore
from firmware.journal.raw_store import RawStore


def in_use():
    gc.collect()
    return gc.mem_alloc()


def use(journal):
    recovery.start(journal, 1)
    for n in range(150):
        journal.append("fault", ("Diode", n), n)
    for _ in journal.make_room():
        pass


def read(cursor):
    while cursor.step() != reading.AT_END:
        pass


nor = Nor(4096, 64)
use(ring.Journal(RawStore(nor)))  # every name is interned then
kept = [None] * 16
base = in_use()
for n in range(8):  # several, so that what the collector mistakes for a pointer does not count
    kept[n] = ring.Journal(RawStore(nor))
    use(kept[n])
print("ram_objects", (in_use() - base) // 8)
base = in_use()
for n in range(8, 16):
    kept[n] = reading.Cursor(kept[0], 1)
    read(kept[n])
print("ram_cursor", (in_use() - base) // 8)
folder = sys.argv[1]
warm = ring.Journal(FileStore(folder + "/warm"))
use(warm)
warm.store.close()
kept = [None] * 8
base = in_use()
for n in range(8):
    kept[n] = ring.Journal(FileStore(folder + f"/{n}"))
    use(kept[n])
print("ram_files", (in_use() - base) // 8)
