"""The cloud comes and goes: what that means for the uplink and its outbox. Loaded when it does."""

from micropython import const

from firmware.uplink.uplink import FRESH_MS

_UNKNOWN_S = const(120)  # the window until one is told, as in backoff.py
_UNGRANTED_MS = const(60000)  # no grant for so long, or twice that: the cloud knows none


def connected(uplink):
    """A new connection: nothing is granted, and the cloud itself has not been heard."""
    uplink.connections = uplink.worker.connections
    uplink.unheard_ms = FRESH_MS
    uplink.shy_ms = 0  # the connection itself has kept to the window
    uplink.status_ms = 0
    uplink.shown = None
    access, outbox = uplink.charger.access, uplink.outbox
    uplink.asked = access.ask_number
    access.online = False
    outbox.granted = -1
    outbox.again = 0
    outbox.acked = max(outbox.acked, outbox.journal.acked)


def gone(uplink):
    """The cloud was there, and is not heard any more.

    The first heartbeat of a cloud that is back reaches the whole fleet in one moment. Each then
    sends two or three messages; an eighth of the window is time enough for all of them.
    """
    backoff = uplink.worker.backoff
    window_s = backoff.hint_s or backoff.window_s or _UNKNOWN_S
    uplink.shy_ms = uplink.outbox.draw(window_s * 125)
    uplink.outbox.granted = -1
    uplink.charger.access.online = False


def there(uplink):
    """The cloud has come, or come back: whatever it has not acked may not have arrived."""
    outbox = uplink.outbox
    if outbox.backlog >= outbox.again:
        outbox.backlog = outbox.acked
    outbox.live = outbox.began = outbox.journal.last_seq
    outbox.wait_ms = _UNGRANTED_MS + outbox.draw(_UNGRANTED_MS)
    outbox.quiet_ms = 0
    uplink.charger.access.online = True


def resend(outbox, after):
    """All that was sent goes up again, as granted, from behind this number: acked or not."""
    outbox.backlog = after
    outbox.again = outbox.acked
    outbox.began = outbox.live
