"""A batch of records as messages: read from the journal, written as JSON. See docs/mqtt.md.

Loaded for each batch, which takes as long as to send it.
"""

import binascii
import json

from micropython import const

from firmware.clock import text
from firmware.journal import cursor as reading
from firmware.journal import fields

_MOST_RECORDS = const(25)
_MOST_BYTES = const(1200)  # of the records of one batch, the last of them left out
_MOST_WORK = const(28)  # what is not found by then is looked for the next time
_SEARCH = const(7)  # a step of the cursor that passes over records, beside one that finds a record
_TRICKLE_MS = const(15000)  # and up to three times as long, at random
_SESSION = ("session_start", "checkpoint", "session_end", "session_closed")


def send(outbox, first, last):
    """Put records from `first` on, up to `last` at most, into the mailbox; note it in `outbox`."""
    sent = _pack(outbox, first, last)
    if first > outbox.live:
        outbox.live = sent
        return
    if outbox.granted >= 0:
        outbox.granted = max(0, outbox.granted - (sent - outbox.backlog))
    else:
        outbox.wait_ms = _TRICKLE_MS + outbox.draw(2 * _TRICKLE_MS)
    outbox.backlog = sent


def _pack(outbox, first, last):
    """At most two messages, <id>/sessions and <id>/events; the last record that is in them.

    first - 1 if there is nothing yet. The outbox keeps where the cursor came to: to find it again
    takes up to a whole sector's reading.
    """
    journal = outbox.journal
    cursor = reading.Cursor(journal, first)
    if outbox.place and outbox.place[0] == first:
        cursor.go_to(outbox.place)
    bodies = {}
    count = size = 0
    sent = first - 1
    work = _MOST_WORK
    while work > 0:
        work -= 1
        if count == _MOST_RECORDS or size > _MOST_BYTES or cursor.seq > last:
            break
        found = cursor.step()
        if found == reading.AT_END:
            break
        if found == reading.LOST:
            end = min(cursor.lost_to, last)  # what comes behind is said in a batch of its own
            record = {"seq": cursor.lost_from, "lost": (cursor.lost_from, end), "why": cursor.why}
            topic = "events"
            sent = end
        elif found == reading.RECORD:
            record = fields.unpack(cursor)
            topic = "sessions" if record["kind"] in _SESSION else "events"
            utc_s = record.pop("utc_s")
            record["utc"] = None if utc_s is None else text(utc_s)
            for name in ("key", "raw"):
                if record.get(name):
                    record[name] = binascii.hexlify(record[name]).decode().upper()
            sent = cursor.record_seq
        else:
            work -= _SEARCH - 1
            continue
        line = json.dumps(record, separators=(",", ":"))
        size += len(line)
        count += 1
        if topic in bodies:
            bodies[topic].extend(b",")
        else:
            bodies[topic] = bytearray(f'{{"epoch":{journal.epoch},"records":['.encode())
        bodies[topic].extend(line.encode())
    outbox.place = cursor.place()
    for topic, body in bodies.items():
        body.extend(b"]}")
        outbox.mailbox.put((topic, body, 1, False))
    return sent
