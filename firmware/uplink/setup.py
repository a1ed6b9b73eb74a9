"""The uplink's settings, its window and a deliberate offline: put in force, and kept over restarts.

Loaded when one of them changes. What the cloud told lies in the chip's NVS.
"""

from firmware.board import chip, nvs
from firmware.briefly import briefly

_LONGEST_OFFLINE_S = 604800
_UNKNOWN_CLOCK_S = 900  # offline on purpose for so long, when nobody knows the time


def configure(uplink):
    """Put the settings in force; a change of one that the connection rests on makes a new one."""
    settings, worker = uplink.charger.settings, uplink.worker
    worker.hint_host = settings.hint_host
    place = (
        settings.cloud_host,
        settings.cloud_port or (8883 if settings.cloud_tls else 1883),
        settings.cloud_tls,
        settings.cloud_user,
        settings.cloud_password,
    )
    if place != worker.place:
        briefly("firmware.uplink.broker").choose(worker, *place)


def recall(uplink):
    """At the start: the window that the cloud told, and a deliberate offline that is not over.

    The chip's own clock, by which certificates are checked, goes on from where it is known to have
    been: later than that it is in any case.
    """
    chip.set_rtc(nvs.number("clock"))
    backoff = uplink.worker.backoff
    backoff.window_s = nvs.number("window")
    backoff.head_percent = nvs.number("head")
    uplink.until_s = nvs.number("until")
    if uplink.until_s:
        uplink.recalled = True
        # Until the clock is known, what was left when it was written counts.
        uplink.charger.access.go_offline(min(nvs.number("left"), _LONGEST_OFFLINE_S))


def follow_clock(uplink):
    """The wall clock was set: so is the chip's own."""
    utc_s = uplink.charger.clock.utc_s()
    if utc_s:
        chip.set_rtc(utc_s)
        uplink.to_keep = True
    if uplink.until_s:
        resume_offline(uplink)


def set_window(uplink, window_s, head_percent):
    """What `fleet/window` says."""
    backoff = uplink.worker.backoff
    backoff.window_s = window_s
    backoff.head_percent = head_percent
    uplink.to_keep = True


def begin_offline(uplink, until_s, reason):
    """What `fleet/offline` says: offline until `until_s`, seconds since 2000."""
    uplink.until_s = until_s
    uplink.offline_reason = reason
    uplink.recalled = False
    resume_offline(uplink)


def resume_offline(uplink):
    """Bring what is left of a deliberate offline in line with the clock."""
    access, now_s = uplink.charger.access, uplink.charger.clock.utc_s()
    if now_s is None:
        if not access.offline_ms:
            access.go_offline(_UNKNOWN_CLOCK_S)
        return
    left_s = uplink.until_s - now_s
    if left_s <= 0:
        end_offline(uplink)
        return
    access.go_offline(min(left_s, _LONGEST_OFFLINE_S))
    uplink.to_keep = True


def end_offline(uplink):
    """It is over, or was taken back."""
    uplink.until_s = 0
    uplink.offline_reason = ""
    uplink.charger.access.go_offline(0)
    uplink.to_keep = True


def keep(uplink):
    """Write to flash what has changed; while the contactor is open, since that can erase flash."""
    backoff = uplink.worker.backoff
    nvs.set_number("window", backoff.window_s)
    nvs.set_number("head", backoff.head_percent)
    nvs.set_number("until", uplink.until_s)
    left_s = (uplink.charger.access.offline_ms + 999) // 1000 if uplink.until_s else 0
    nvs.set_number("left", left_s)
    utc_s = uplink.charger.clock.utc_s()
    if utc_s:
        nvs.set_number("clock", utc_s)
    uplink.to_keep = False
    journal = uplink.charger.recorder.journal
    journal.ack(journal.epoch, uplink.outbox.acked)
