"""An image that an earlier version wrote is opened, read, and goes on. Argument: the image."""

import sys

from journal_flash import Nor
from journal_witness import read_all

from firmware.journal import journal as ring
from firmware.journal import recovery
from firmware.journal.raw_store import RawStore

with open(sys.argv[1], "rb") as f:
    data = bytearray(f.read())
nor = Nor(1024, len(data) // 1024, data)
journal = ring.Journal(RawStore(nor))
recovery.start(journal, 1)
assert journal.refusal is None and journal.notice is None, journal.notice
assert journal.last_seq > 300 and journal.acked == 47, (journal.last_seq, journal.acked)
before = read_all(journal, 1)
assert len(before) > 100 and not [row for row in before if len(row) == 3 and row[2] == "Damaged"]
seq = journal.append("online", (), 1)
journal = ring.Journal(RawStore(nor))
recovery.start(journal, 1)
assert read_all(journal, 1)[:-1] == before and journal.last_seq == seq
