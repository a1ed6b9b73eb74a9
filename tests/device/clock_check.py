"""The clock over its wraps, and the wall clock on either epoch."""

from firmware import clock, ticks
from firmware.clock import Clock

# three times around, in uneven steps
c = Clock(7, ticks.MASK - 500)
now, passed = ticks.MASK - 500, 0
steps = (20, 999, 1, 1000, 86_400_000, 500_000_000, 19)
while passed < 3 * (1 << 30):
    for step in steps:
        now = ticks.add(now, step)
        passed += step
        c.advance(now)
        assert c.uptime_s == passed // 1000, (c.uptime_s, passed)
assert c.boot == 7

c = Clock(1, 0)
assert c.quality == "unknown" and c.utc() is None
c.advance(90_000)
assert c.set(1795411320, "phone")  # 2026-11-23 05:22:00 UTC
assert c.utc() == "2026-11-23T05:22:00Z", c.utc()
c.advance(91_000)
assert c.utc() == "2026-11-23T05:22:01Z"
assert c.utc_at(0) == "2026-11-23T05:20:30Z"
assert c.set(1795411500, "ntp") and c.quality == "ntp"
assert c.utc() == "2026-11-23T05:25:00Z"
assert not c.set(1795400000, "phone") and c.utc() == "2026-11-23T05:25:00Z"
assert c.set(1795411501, "ntp") and c.utc() == "2026-11-23T05:25:01Z"
assert c.set(1709164800, "ntp") and c.utc() == "2024-02-29T00:00:00Z"
for bad_time, bad_quality in (
    (0, "ntp"),
    (1000, "phone"),
    (1795411320, "unknown"),
    (1795411320, "x"),
):
    try:
        c.set(bad_time, bad_quality)
    except ValueError:
        continue
    raise AssertionError((bad_time, bad_quality))
assert 0 <= clock.now_ms() <= ticks.MASK
print("ok")
