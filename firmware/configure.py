"""Puts the settings in force in the rooms: at the start, and when they change."""


def configure(charger):
    """Put the settings in force in the rooms."""
    settings, controller = charger.settings, charger.controller
    controller.config.ventilation = settings.ventilation
    controller.config.wake_mode = settings.wake_mode
    controller.config.wake_after_s = settings.wake_after_s
    controller.config.wake_s = settings.wake_s
    controller.limits.installation_ma = settings.installation_limit_a * 1000
    if charger.configured >= 0:
        controller.limits.derating = derating(settings)
        judge(charger)
    charger.configured = settings.revision


def judge(charger):
    """Put the settings in force in the access room."""
    settings, access = charger.settings, charger.access
    access.offline_who, access.offline_scheduled = _policy(settings.offline_policy)
    access.online_who, access.online_scheduled = _policy(settings.online_policy)
    access.waits_for_clock = settings.schedule_no_clock == "wait"
    access.ask_timeout_ms = settings.ask_timeout_s * 1000
    access.tap_hold_ms = settings.tap_hold_s * 1000
    access.tap_releases = settings.tap_releases
    access.recheck_stops = settings.back_online == "stop"
    access.delay_most_ms = settings.random_delay_s * 1000
    access.schedule = None
    if access.offline_scheduled or access.online_scheduled:
        # A charger without a schedule does not take the memory of one.
        from firmware.access.schedule import Schedule

        access.schedule = Schedule(settings.schedule, settings.timezone)
    access.tell_time(charger.clock.utc_s())


def derating(settings):
    """The Derating that the settings ask for."""
    from firmware.charging.limits import Derating

    return Derating(
        settings.derate_half_c,
        settings.derate_quarter_c,
        settings.derate_stop_c,
        settings.derate_resume_c,
    )


def _policy(name):
    """(who, whether the schedule counts) of a policy's name in the settings."""
    from firmware.access.decision import NAMES, OPEN

    who, _, when = name.partition("+")
    return (OPEN, True) if who == "schedule" else (NAMES.index(who), when != "")
