"""A month of normal use on the raw store: no erase while a car charges.

Argument: a seed. Two to five sessions a day of 1 to 14 hours with a checkpoint every 15 minutes, a
key and its faults, connections that come and go, an ack some times a day, a reboot now and then.
"""

import random
import sys

from journal_flash import Nor

from firmware.journal import journal as ring
from firmware.journal import recovery
from firmware.journal.raw_store import RawStore

print("seed", sys.argv[1])
random.seed(int(sys.argv[1]))


def below(n):
    return random.getrandbits(20) % n


nor = Nor(4096, 16)  # a quarter of the real one, so that it goes round some times
journal = ring.Journal(RawStore(nor))
recovery.start(journal, 1)
uptime = session = while_charging = records = 0


def append(*row):
    journal.append(row[0], row[1:], uptime, 820_000_000 + uptime, 2)


for _day in range(31):
    for _ in range(2 + below(4)):
        for _ in journal.make_room():  # the contactor is open
            pass
        session += 1
        before = nor.erases
        append("session_start", session, session * 7000, "Key", b"\x04\x11\x22\x33\x44\x55\x66")
        for n in range(4 + below(52)):
            uptime += 900
            append("checkpoint", session, session * 7000 + n * 100, n * 100, n * 900, False)
            if below(20) == 0:
                append("offline", "TimeOut")
                append("online")
            if below(50) == 0:
                append("fault", "Overtemperature", n)
                append("fault_cleared", "Overtemperature", n)
            if below(8) == 0:
                assert journal.ack(journal.epoch, journal.last_seq) is None
        append("session_end", session, session * 7000, 5000, n * 900, False, "EVDisconnected")
        while_charging += nor.erases - before
    if below(6) == 0:
        boot = journal.boot + 1
        journal = ring.Journal(RawStore(nor))
        recovery.start(journal, boot)
        uptime = 1
        append("boot", "power-on", "0.2.0")
assert nor.erases > 12 and not journal.notice and not journal.dropped
print("sessions", session, "records", journal.last_seq, "erases", nor.erases)
print("while_charging", while_charging)
assert while_charging == 0, "erased while a car charged"
