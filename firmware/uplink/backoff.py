"""When to try the cloud again: the rules that keep a fleet from coming back all at once.

Pure: no clock, no sockets, no randomness of its own. The uplink's worker, the lightweight clients
of the fleet test and the fleet simulation use this very object, under MicroPython and CPython.

The reconnect window is the time over which the whole fleet spreads itself. Every wait is drawn
anew from it, the first one after a start as well as the one after any loss or failure: nothing
ever happens at a fixed moment. Whoever waits does this:

    backoff.ended(LOST)                     # or FAILED, BUSY, REFUSED, OWN; nothing after a start
    backoff.hint_s = hint_s(answer)         # what DNS says now; 0: it says nothing
    ms = backoff.wait_ms(draw)
    while ms:
        ...wait ms, or ASK_MS if that is shorter...
        backoff.hint_s = hint_s(answer)     # DNS again, before anything that costs the cloud
        ms = backoff.left_ms(waited_ms)     # since wait_ms
    ...attempt; connected for STABLE_MS: backoff.stable()...

While it waits, somebody may come with a car: set `urgency` and take a new wait_ms if it is shorter
than what is left. `draw()` returns a random number from 0 to 32767, from a source that differs from
charger to charger from the first call after power-up on.
"""

try:
    from micropython import const
except ImportError:  # CPython
    const = int  # type: ignore[assignment]

# Why there is no connection (any more), for Backoff.ended.
OWN = const(0)  # the charger's own doing: its WiFi was away, or it was offline on purpose
LOST = const(1)  # it was accepted and then dropped
FAILED = const(2)  # no answer, an answer that makes no sense, no TLS
BUSY = const(3)  # MQTT 3.1.1 CONNACK 3: the server is unavailable
REFUSED = const(4)  # CONNACK 1, 2, 4 or 5: as it is set up, it will be refused again

# How urgent the cloud is, for Backoff.urgency; anything else is 0.
NEEDS_CLOUD = const(1)  # its policy lets nobody charge without the cloud
STUCK = const(2)  # the same, and a car waits

STABLE_MS = const(120000)  # a connection that lasted this long is taken for good
ASK_MS = const(60000)  # how often DNS is asked during a wait; the answer lives 30 s

_UNKNOWN_S = const(120)  # the window until one is told
_LONGEST_S = const(14400)  # a longer window is taken for this one
_WIDEST_S = const(7200)  # no window is widened beyond this
_BUSY_S = const(30)
_REFUSED_S = const(300)
_ONE = const(32768)  # a place in the window is a fraction of this


class Backoff:
    """The rules of one charger.

    `window_s` is the window that `fleet/window` told, remembered over power cuts, 0 for none;
    `head_percent` the part of it, from its start, that is kept for urgent chargers, 0 for none
    (`strict_first`); `hint_s` the window that DNS says now, which counts more; `urgency` as above.
    `failures` counts since the last stable connection, `refusals` the logins refused in a row.
    """

    def __init__(self, window_s=0, head_percent=0):
        self.window_s = window_s
        self.head_percent = head_percent
        self.hint_s = 0
        self.urgency = 0
        self.failures = 0  # -1 while the connection is stable
        self.refusals = 0
        self._floor_s = 0
        self._range_s = self._drawn_s = 1
        self._wait_ms = 0

    def stable(self):
        """The connection has lasted STABLE_MS: forget what was before."""
        self.failures = -1
        self.refusals = self._floor_s = 0

    def ended(self, why):
        """There is no connection, for the reason `why`.

        Losing a stable connection is no failure, losing a young one is. Trouble of the charger's
        own neither counts nor makes up for anything.
        """
        if why != OWN or self.failures < 0:
            self.failures += 1
        if why != OWN:
            self._floor_s = 0
        if why == BUSY:
            self._floor_s = _BUSY_S
        if why == REFUSED:
            self._floor_s = _REFUSED_S << min(self.refusals, 3)
            self.refusals += 1
        elif why != OWN:
            self.refusals = 0

    def wait_ms(self, draw):
        """A new wait before the next attempt. Allocates nothing; changes no count.

        From 0 to the window at first. After a failure the window is 4-fold, after more 16-fold;
        with a hint it is not, but it grows to 8 min at least from the third failure on. After BUSY
        and REFUSED half of 30 s, or of 5 min to 40 min, comes on top, and the window is at least
        as long as that.
        """
        failures = self.failures
        range_s = max(1, min(self.hint_s or self.window_s or _UNKNOWN_S, _LONGEST_S))
        place = draw()
        head = max(0, min(self.head_percent, 100)) * _ONE // 100
        if failures <= 0:
            if not head:
                pass
            elif self.urgency == STUCK:
                place = min(place, draw()) * head >> 15
            elif self.urgency == NEEDS_CLOUD:
                if draw() & 1:
                    place = min(place, draw())
            else:
                # Its density is what is left of an even one when a tenth of the fleet is stuck
                # and the head a fifth to a quarter: it rises over the head, then it is flat.
                place = (head >> 1) + (place * (_ONE - (head >> 1)) >> 15)
                if place < head:
                    place = max(draw(), draw()) * head >> 15
        elif not self.hint_s:
            range_s = max(range_s, min(range_s << min(failures * 2, 4), _WIDEST_S))
            if head and self.urgency == STUCK:
                place >>= 1
        elif failures > 2:
            range_s = max(range_s, 30 << min(failures - 2, 4))
        floor_s = self._floor_s
        range_s = max(range_s, floor_s)
        ms = range_s * place
        ms = (ms >> 15) * 1000 + ((ms & _ONE - 1) * 1000 >> 15) + floor_s * 500
        self._range_s = self._drawn_s = range_s
        self._wait_ms = ms
        return ms

    def left_ms(self, waited_ms):
        """`waited_ms` of this wait are over and `hint_s` is fresh: what is left; 0: try now.

        What is left shrinks where the cloud can take the rest of the window faster, and at the end
        of a wait that was drawn from a much shorter window than the cloud asks for now, it is
        stretched to that: nobody loses his place. Waits after BUSY and REFUSED stay as they are.
        """
        ms = max(0, self._wait_ms - waited_ms)
        hint_s = min(self.hint_s, _LONGEST_S)
        if not hint_s or self._floor_s:
            return ms
        waited_s = waited_ms // 1000
        range_s = waited_s + hint_s
        if ms:
            ahead_s = self._range_s - waited_s
            if hint_s * 9 >= ahead_s * 8:
                return ms
            ms = ms * hint_s // ahead_s
        else:
            if hint_s * 8 <= self._drawn_s * 9 or range_s * 8 <= self._range_s * 9:
                return 0
            ms = waited_ms * (range_s - self._range_s) // self._range_s
            self._drawn_s = range_s
        self._range_s = range_s
        self._wait_ms = waited_ms + ms
        return ms


def hint_s(address):
    """The window that a DNS answer stands for: "127.0.h.l" is h * 256 + l seconds.

    0 for anything else: another network, no number, 0 seconds, None.
    """
    parts = (address or "").split(".")
    if len(parts) != 4 or parts[0] != "127" or parts[1] != "0":
        return 0
    window_s = 0
    for part in parts[2:]:
        # No sign, space, digit of another script or leading zero, which int would let pass.
        if not 0 < len(part) < 4 or part[0] == "0" < part:
            return 0
        for digit in part:
            if not "0" <= digit <= "9":
                return 0
        if int(part) > 255:
            return 0
        window_s = window_s * 256 + int(part)
    return window_s
