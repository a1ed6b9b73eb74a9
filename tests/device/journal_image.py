"""Write an image of a journal, for the tests of the reader; deterministic but for its epoch.

Arguments: "raw" or "files", the file to write, and the number of rounds of sessions; or "percent",
the file, and how full eight sectors of 4096 bytes are to be.
"""

import sys

import vfs
from journal_flash import Nor
from journal_witness import Witness, sessions

from firmware.journal import journal as ring
from firmware.journal import recovery
from firmware.journal.file_store import FileStore
from firmware.journal.raw_store import RawStore


def filled(percent):
    nor = Nor(4096, 8)
    journal = ring.Journal(RawStore(nor))
    recovery.start(journal, 1)
    while journal.percent_full() < percent or journal.alarms:
        journal.append("online", (), 1)
    return nor


if sys.argv[1] == "percent":
    with open(sys.argv[2], "wb") as f:
        f.write(filled(int(sys.argv[3])).data)
    sys.exit()
files = sys.argv[1] == "files"
nor = Nor(4096 if files else 1024, 64 if files else 12)
nor.log = []
witness = Witness(nor.log)
if files:
    vfs.VfsLfs2.mkfs(nor)
    vfs.mount(vfs.VfsLfs2(nor), "/flash")
    store = FileStore("/flash/journal", 8)
else:
    store = RawStore(nor)
rounds = int(sys.argv[3])
journal = sessions(witness, store, rounds, lambda cycle: cycle == 9, lambda cycle: True)
if files:
    store.close()
    vfs.umount("/flash")
with open(sys.argv[2], "wb") as f:
    f.write(nor.data)
print(journal.last_seq, journal.acked, journal.epoch)
