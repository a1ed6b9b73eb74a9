"""What a charger's journal holds after a life of sessions and power cuts, and what was true."""

from tools.cloud.messages import utc_text

_2026 = 1782900000  # a summer's day of 2026


class FakeJournal:
    """Records as a charger sends them; `truth` has what a report must come to, for each session.

    `truth` is {(boot, session): {"energy_wh", "duration_s", "started_s", "complete", "key"}}, and
    `clocks` says for which boots the clock was ever known.
    """

    def __init__(self, random, boots=6, sessions=8, epoch=None):
        self.random = random
        self.epoch = epoch or random.randrange(1, 1 << 32)
        self.records = []
        self.truth = {}
        self.clocks = {}
        self._now_s = _2026
        self._meter_wh = random.randrange(100000)
        self._quality = 0
        open_session = None
        for boot in range(1, boots + 1):
            open_session = self._boot(boot, sessions, open_session, last=boot == boots)

    def add(self, boot, uptime_s, kind, **values):
        utc = utc_text(self._start_s + uptime_s) if self._quality else None
        record = {"seq": len(self.records) + 1, "kind": kind, "boot": boot, "uptime_s": uptime_s}
        self.records.append({**record, "utc": utc, "quality": self._quality, **values})

    def _boot(self, boot, sessions, cut, last):
        random = self.random
        self._start_s = self._now_s = self._now_s + random.randrange(60, 7200)
        self._quality = 0
        self.add(boot, 0, "boot", cause="power-on", firmware="0.2.0")
        if cut:
            self.add(boot, 1, "session_closed", reason="PowerLoss", **cut)
        uptime_s = 2
        quality = random.choice((0, 0, 1, 2, 3))
        self.clocks[boot] = bool(quality)
        known_after = random.randrange(sessions)
        for session in range(1, sessions + 1):
            if session > known_after and quality and not self._quality:
                self._quality = quality
                self.add(boot, uptime_s, "clock")
            uptime_s += random.randrange(30, 3000)
            key = random.choice((None, "04A1B2C3", "04A1B2C3D4E5F6"))
            started = {"session": session, "meter_wh": self._meter_wh, "how": "Open", "key": key}
            self.add(boot, uptime_s, "session_start", **started)
            start_s = uptime_s
            energy_wh = 0
            for _ in range(random.randrange(4)):
                uptime_s += 600
                energy_wh += random.randrange(2000)
                its = self._meters(session, energy_wh, uptime_s - start_s)
                self.add(boot, uptime_s, "checkpoint", **its)
            if random.random() < 0.2:
                self.add(boot, uptime_s, "fault", code="Rcd", count=1)
            ends = self._meters(session, energy_wh, uptime_s - start_s)
            truth = self.truth[boot, session] = {
                "energy_wh": energy_wh,
                "duration_s": uptime_s - start_s,
                "started_s": self._start_s + start_s,
                "complete": "yes",
                "key": key,
            }
            self._meter_wh += energy_wh
            if session == sessions and last:
                truth["complete"] = "running"
                checkpoints = [r for r in self.records if r["kind"] == "checkpoint"]
                seen = [r for r in checkpoints if (r["boot"], r["session"]) == (boot, session)]
                truth["energy_wh"] = seen[-1]["energy_wh"] if seen else None
                truth["duration_s"] = seen[-1]["duration_s"] if seen else None
                return None
            self._now_s = self._start_s + uptime_s
            if session == sessions:
                return {**ends, "session_boot": boot}
            uptime_s += 1
            self.add(boot, uptime_s, "session_end", reason="EVDisconnected", **ends)
        return None

    def _meters(self, session, energy_wh, duration_s):
        return {
            "session": session,
            "meter_wh": self._meter_wh + energy_wh,
            "energy_wh": energy_wh,
            "duration_s": duration_s,
            "estimated": False,
        }
