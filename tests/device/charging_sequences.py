"""The sequences of IEC 61851-1 in virtual time, with their timing in ticks of 20 ms.

Each sequence runs twice: from tick 0, and across the wrap of the ticks.
"""

from charging_plant import TICK_MS, Plant

from firmware import ticks
from firmware.charging import faults
from firmware.charging.duty import offered_ma, permille_of
from firmware.charging.signals import (
    DRIVE_OFF,
    DRIVE_UNLOCK,
    LED_CHARGING,
    LED_FAULT,
    LOCK_BETWEEN,
    LOCK_LOCKED,
    LOCK_UNLOCKED,
    NO_TEMPERATURE,
    PILOT_F,
    PILOT_PWM,
    PILOT_STEADY,
    PROXIMITY_FAULT,
)

# Names of firmware.charging.events, by number
KINDS = (
    "",
    "SessionStarted",
    "SessionEnded",
    "Charging",
    "Paused",
    "Fault",
    "FaultCleared",
    "Locked",
    "Unlocked",
)

start_ms = 0


def plant(**config):
    new = Plant(start_ms, **config)
    new.run(1200)
    assert new.controller.state == "Available" and new.controller.reason == "NoCar"
    return new


def charging(**config):
    p = plant(**config)
    p.car = "B"
    p.run(1000)
    p.car = "C"
    p.ms_until(lambda: p.outputs.contactor, 3000)
    p.run(6000)
    assert p.controller.state == "Charging" and p.controller.pilot_name == "C2"
    assert p.outputs.led == LED_CHARGING
    return p


def kinds(p):
    """Everything that was told since the last call, as "Kind:code"."""
    told = []
    while True:
        event = p.events.pop()
        if event is None:
            return told
        told.append(KINDS[event[0]] + (":" + event[1] if event[1] else ""))


def opens_now(p):
    """True if the contactor opens in the next tick, the first that sees the change."""
    assert p.outputs.contactor
    p.tick()
    return not p.outputs.contactor


def plug_and_start():
    p = plant()
    p.car = "B"
    p.ms_until(lambda: p.readings.lock == LOCK_LOCKED, 2000)
    assert p.outputs.pilot == PILOT_STEADY, "the PWM waits for the lock"
    assert p.ms_until(lambda: p.controller.pilot_name == "B2", 2000) <= 1000
    assert p.outputs.duty_permille == 266 and not p.outputs.contactor  # 15.96 A of 16 A
    assert p.controller.state == "SuspendedEV" and p.controller.reason == "WaitsForCar"
    p.car = "C"
    closing_ms = p.ms_until(lambda: p.outputs.contactor, 3000)
    assert 100 <= closing_ms <= 3000, closing_ms
    p.run(200)
    assert kinds(p) == ["SessionStarted", "Locked", "Charging"]
    assert p.controller.session.id == 1


def car_stops_and_resumes():
    p = charging()
    p.car = "B"
    assert opens_now(p)
    p.run(1000)
    assert p.controller.reason == "CarPaused" and p.outputs.pilot == PILOT_PWM
    p.car = "C"
    assert p.ms_until(lambda: p.outputs.contactor, 3000) <= 3000
    assert p.controller.session.id == 1, "the same session"


def one_stray_reading():
    """A single reading outside C and D opens; the contactor does not rattle afterwards."""
    p = charging()
    p.high_mv = 9000
    assert opens_now(p)
    p.high_mv = None
    assert p.ms_until(lambda: p.outputs.contactor, 3000) >= 900


def permit_withdrawn():
    p = charging()
    p.permit.allowed = False
    p.permit.reason = "NoPermit"
    p.tick()
    assert p.outputs.pilot == PILOT_STEADY and p.outputs.contactor
    p.run(1000)
    assert p.outputs.contactor, "the car is given time"
    p.car = "B"
    assert opens_now(p)
    assert p.controller.state == "SuspendedEVSE" and p.controller.reason == "NoPermit"
    p.permit.allowed = True
    p.ms_until(lambda: p.outputs.pilot == PILOT_PWM, 6000)


def car_ignores_withdrawal():
    p = charging()
    p.permit.allowed = False
    p.tick()
    assert p.outputs.pilot == PILOT_STEADY
    opened_ms = p.ms_until(lambda: not p.outputs.contactor, 10000)
    assert 6000 - 2 * TICK_MS <= opened_ms <= 6000 + TICK_MS, opened_ms
    p.run(500)
    assert p.controller.pilot_name == "C1"
    p.permit.allowed = True  # the car is still in C: the PWM comes back, then the contactor
    assert p.ms_until(lambda: p.outputs.contactor, 10000) <= 8000


def authorized_and_not_yet_allowed():
    """The session begins and the cable is locked, current waits for the permit's second half."""
    p = plant()
    p.permit.allowed = False
    p.permit.reason = "WaitsForSchedule"
    p.car = "C"
    p.ms_until(lambda: p.readings.lock == LOCK_LOCKED, 2000)
    p.run(10000)
    assert p.controller.session.active and not p.outputs.contactor
    assert p.outputs.pilot == PILOT_STEADY
    assert p.controller.state == "SuspendedEVSE" and p.controller.reason == "WaitsForSchedule"
    p.permit.allowed = True
    p.ms_until(lambda: p.outputs.contactor, 3000)
    p.permit.allowed = False
    p.ms_until(lambda: not p.outputs.contactor, 6100)
    assert p.controller.session.active and p.controller.session.id == 1
    p.permit.authorized = False  # who may begin is asked once
    p.run(10000)
    assert p.controller.session.active
    assert kinds(p) == ["SessionStarted", "Locked", "Charging", "Paused:WaitsForSchedule"]


def tap_that_stops_and_releases():
    """Stop and unlock in one tick: the session ended by a person, and the cable comes free."""
    p = charging()
    kinds(p)
    p.controller.request_stop()
    p.controller.request_unlock()
    p.ms_until(lambda: p.controller.unlocked(), 10000)
    told = kinds(p)
    assert told == ["Paused:Stopping", "SessionEnded:Local", "Unlocked"], told
    assert p.controller.finished and p.controller.state == "Finishing"


def unplug_under_load():
    p = charging()
    kinds(p)
    p.car = "A"
    assert opens_now(p)
    released_ms = p.ms_until(lambda: p.readings.lock == LOCK_UNLOCKED, 5000)
    assert released_ms <= 5000, released_ms
    p.run(1000)
    told = kinds(p)
    assert told == ["Paused:NoCar", "SessionEnded:EVDisconnected", "Unlocked"], told
    assert p.controller.state == "Available" and p.outputs.pilot == PILOT_STEADY


def sleeping_car():
    p = plant(wake_mode="F", wake_after_s=30, wake_s=4)
    p.car = "B"
    p.ms_until(lambda: p.outputs.pilot == PILOT_PWM, 2000)
    waited_ms = p.ms_until(lambda: p.outputs.pilot == PILOT_F, 40000)
    assert 29900 <= waited_ms <= 30200, waited_ms
    assert p.controller.pilot_name == "F" and p.controller.reason == "Waking"
    woken_ms = p.ms_until(lambda: p.outputs.pilot == PILOT_PWM, 10000)
    assert 3900 <= woken_ms <= 4100, woken_ms
    p.run(60000)
    assert p.outputs.pilot == PILOT_PWM, "one wake-up, no more"
    p.car = "C"
    p.ms_until(lambda: p.outputs.contactor, 3000)
    off = plant(wake_mode="off")
    off.car = "B"
    off.run(60000)
    assert off.controller.pilot_name == "B2"


def woken_car_charges():
    p = plant()
    p.car = "B"
    p.ms_until(lambda: p.outputs.pilot == PILOT_F, 40000)
    p.run(1000)
    p.car = "C"
    p.run(2000)
    assert not p.outputs.contactor and p.outputs.pilot == PILOT_F
    p.ms_until(lambda: p.outputs.contactor, 6000)


def power_back_with_car():
    for car in "BC":
        p = Plant(start_ms)
        p.car = car
        p.readings.lock = LOCK_LOCKED  # it stayed locked through the power cut
        p.tick()
        assert not p.outputs.contactor and p.controller.state == "Unavailable"
        p.ms_until(lambda: p.controller.pilot_name == car + "2", 3000)
        p.car = "C"
        p.ms_until(lambda: p.outputs.contactor, 3000)
        refused = Plant(start_ms)
        refused.permit.authorized = refused.permit.allowed = False
        refused.permit.reason = "NoPermit"
        refused.car = car
        refused.readings.lock = LOCK_LOCKED
        refused.run(30000)
        assert refused.controller.pilot_name == car + "1" and not refused.outputs.contactor
        assert refused.controller.state == "Preparing"
        assert refused.controller.reason == "NoPermit" and not refused.controller.session.id
        assert refused.readings.lock == LOCK_LOCKED


def limits_and_duty():
    for ma in range(6000, 90000, 37):
        permille = permille_of(ma)
        assert 100 <= permille <= 960 and offered_ma(permille) <= ma, ma
        # rounding costs less than a step; between 51 A and the step after 52.5 A there is no code
        if not (51000 < ma < 52750 or ma > 80000):
            assert ma - offered_ma(permille) < (60 if ma <= 51000 else 250), ma
    assert [permille_of(a * 1000) for a in (6, 51, 52, 63, 80)] == [100, 850, 850, 892, 960]
    assert offered_ma(99) == 0 and offered_ma(50) == 0 and offered_ma(1000) == 0

    p = charging()
    changes = []
    duty = p.outputs.duty_permille
    for second in range(60):
        p.limits.lease_ma = 6000 + (second * 7919) % 10000  # a partner that changes its mind
        for _ in range(50):
            p.tick()
            if p.outputs.duty_permille != duty:
                duty = p.outputs.duty_permille
                changes.append(p.now_ms)
    assert len(changes) > 8
    for early, late in zip(changes, changes[1:]):
        assert ticks.diff(late, early) >= 5000
    p.limits.lease_ma = 5999
    p.tick()
    assert p.outputs.pilot == PILOT_STEADY, "less than 6 A is a pause"
    p.car = "B"
    p.run(200)
    assert p.controller.state == "SuspendedEVSE" and p.controller.reason == "LimitLease"
    p.limits.lease_ma = 6000
    p.ms_until(lambda: p.controller.pilot_name == "B2", 6000)
    assert p.outputs.duty_permille == 100


def weak_cable():
    p = plant()
    p.cable_a = 13
    p.car = "B"
    p.ms_until(lambda: p.outputs.pilot == PILOT_PWM, 3000)
    assert offered_ma(p.outputs.duty_permille) <= 13000


def unlock_while_charging():
    p = charging()
    kinds(p)
    p.controller.request_unlock()
    p.tick()
    assert p.outputs.pilot == PILOT_STEADY and p.outputs.contactor
    p.run(400)
    p.car = "B"
    assert opens_now(p)
    p.ms_until(lambda: p.outputs.lock_drive == DRIVE_UNLOCK, 2000)
    assert not p.readings.contactor_closed
    p.run(1000)
    assert p.controller.unlocked() and p.controller.state == "Finishing"
    told = kinds(p)
    assert told == ["Paused:Stopping", "SessionEnded:UnlockCommand", "Unlocked"], told
    p.run(30000)
    assert p.controller.state == "Finishing", "no charge starts again by itself"
    p.controller.request_start()
    p.car = "C"
    p.ms_until(lambda: p.outputs.contactor, 10000)
    assert p.controller.session.id == 2 and p.readings.lock == LOCK_LOCKED


def stop_and_start():
    p = charging()
    p.controller.request_stop()
    p.ms_until(lambda: p.controller.state == "Finishing", 8000)
    p.run(8000)
    assert not p.outputs.contactor and p.readings.lock == LOCK_LOCKED, "the cable is kept"
    p.controller.request_unlock()
    p.ms_until(lambda: p.readings.lock == LOCK_UNLOCKED, 3000)
    p.car = "A"
    p.run(2000)
    assert p.controller.state == "Available"


def ventilation():
    p = plant()
    p.car = "B"
    p.run(1000)
    p.car = "D"
    p.run(10000)
    assert not p.outputs.contactor and p.controller.reason == "NeedsVentilation"
    p = plant(ventilation=True)
    p.car = "B"
    p.run(1000)
    p.car = "D"
    p.ms_until(lambda: p.outputs.contactor, 3000)
    assert p.controller.pilot_name == "D2"
    p = charging()
    p.car = "D"
    p.run(200)
    assert p.outputs.contactor and p.outputs.pilot == PILOT_STEADY
    p.ms_until(lambda: not p.outputs.contactor, 6100)


def jammed_lock():
    p = plant()
    p.lock_works = False
    p.car = "B"
    pulses = 0
    driven = False
    for _ in range(500):
        p.tick()
        if p.outputs.lock_drive and not driven:
            pulses += 1
        driven = p.outputs.lock_drive != DRIVE_OFF
    assert pulses == 4 and p.controller.reason == "LockFailed", pulses
    assert p.controller.state == "Faulted" and p.outputs.led == LED_FAULT
    p.lock_works = True
    p.ms_until(lambda: p.controller.pilot_name == "B2", 60000)

    p = charging()
    p.lock_works = False
    p.car = "A"
    p.run(8000)
    assert p.controller.reason == "UnlockFailed" and p.controller.state == "Faulted"
    p.lock_works = True
    p.ms_until(lambda: p.controller.state == "Available", 30000)
    assert p.readings.lock == LOCK_UNLOCKED


def jammed_lock_is_tried_again_on_request():
    """Each request is a series of tries of its own, counted; without one it takes 20 s."""
    p = charging()
    p.lock_works = False
    for request in range(1, 4):
        p.controller.request_unlock()
        p.ms_until(lambda: p.controller.faults.count(faults.UNLOCK_FAILED) == request, 12000)
        assert p.controller.faults.is_active(faults.UNLOCK_FAILED) and not p.outputs.contactor
        p.run(1000)
    p.lock_works = True
    p.controller.request_unlock()
    took_ms = p.ms_until(p.controller.unlocked, 2000)
    p.run(100)
    assert not p.controller.faults.is_active(faults.UNLOCK_FAILED), took_ms
    # and by itself, for whoever went away
    p = charging()
    p.lock_works = False
    p.controller.request_unlock()
    p.ms_until(lambda: p.controller.faults.is_active(faults.UNLOCK_FAILED), 12000)
    p.lock_works = True
    p.run(15000)
    assert not p.controller.unlocked()
    p.ms_until(p.controller.unlocked, 6000)


def bolt_stuck_half_way():
    """The contact says "not locked", the bolt holds: a pulse opens it, and each request another."""
    p = plant()
    p.run(2000)
    assert p.controller.unlocked()
    pulses = 0
    for request in range(2):
        p.controller.request_unlock()
        driven = False
        for _ in range(100):
            p.tick()
            if p.outputs.lock_drive == DRIVE_UNLOCK and not driven:
                pulses += 1
            driven = p.outputs.lock_drive != DRIVE_OFF
        assert pulses == request + 1, pulses


def lock_lost():
    p = charging()
    p.readings.lock = LOCK_BETWEEN
    assert opens_now(p)
    p.ms_until(lambda: p.outputs.contactor, 10000)
    assert p.readings.lock == LOCK_LOCKED


def welded():
    p = charging()
    p.welded = True
    p.controller.request_unlock()
    p.car = "B"
    for _ in range(2000):
        p.tick()
        assert p.outputs.lock_drive == DRIVE_OFF, "live contacts stay locked in"
    assert p.controller.reason == "Welded" and p.controller.state == "Faulted"
    assert not p.outputs.contactor and not p.controller.session.active
    p.welded = False
    p.ms_until(lambda: p.readings.lock == LOCK_UNLOCKED, 15000)


def residual_current():
    p = charging()
    p.readings.rcd_tripped = True
    assert opens_now(p)
    p.readings.rcd_tripped = False
    p.run(600000)
    assert not p.outputs.contactor and p.controller.reason == "Rcd", "stays until unplugged"
    p.car = "A"
    p.run(3000)
    assert p.controller.state == "Available"
    assert p.controller.faults.counters() == {"Rcd": 1}


def missing_diode():
    p = plant()
    p.diode = False
    p.car = "B"
    p.run(100000)
    assert p.controller.faults.count(faults.DIODE) == 4, p.controller.faults.counters()
    assert p.controller.reason == "Diode"
    p.car = "C"
    p.run(20000)
    assert not p.outputs.contactor
    p.car = "A"
    p.run(3000)
    assert p.controller.state == "Available"
    p = charging()
    p.diode = False
    assert p.ms_until(lambda: not p.outputs.contactor, 1000) <= 100


def shorted_pilot():
    p = charging()
    p.car = "E"
    assert opens_now(p)
    p.run(1000)
    assert p.controller.reason == "PilotShort" and p.controller.pilot_name == "E"
    p.car = "C"
    p.ms_until(lambda: p.outputs.contactor, 10000)


def heat():
    p = charging()
    for temperature_dc, offered in (
        (640, 15960),
        (650, 7980),
        (640, 7980),
        (629, 15960),
        (680, 6000),
        (700, 6000),
        (709, 6000),
        (NO_TEMPERATURE, 15960),
    ):
        p.readings.temperature_dc = temperature_dc
        p.run(6000)
        assert offered_ma(p.outputs.duty_permille) == offered, (temperature_dc, offered)
    p.readings.temperature_dc = 710
    p.tick()
    assert p.outputs.pilot == PILOT_STEADY and p.outputs.contactor, "gently"
    p.car = "B"
    p.run(1000)
    assert p.controller.reason == "Overtemperature" and p.controller.state == "Faulted"
    p.readings.temperature_dc = 630
    p.run(10000)
    assert p.controller.state == "Faulted"
    p.readings.temperature_dc = 620
    p.ms_until(lambda: p.controller.pilot_name == "B2", 8000)


def too_much_current():
    p = charging()
    p.readings.current_ma = 17000  # within a tenth and 1 A
    p.run(60000)
    assert p.outputs.contactor
    p.readings.current_ma = 20000
    assert 9000 <= p.ms_until(lambda: not p.outputs.contactor, 20000) <= 10100
    p.readings.current_ma = 0
    p.run(50000)
    assert p.controller.reason == "Overcurrent"
    p.ms_until(lambda: p.outputs.contactor, 20000)


def contactor_that_does_not_close():
    p = plant()
    p.stuck_open = True
    p.car = "B"
    p.run(1000)
    p.car = "C"
    tries = 0
    closed = False
    for _ in range(5000):
        p.tick()
        if p.outputs.contactor and not closed:
            tries += 1
        closed = p.outputs.contactor
    assert tries == 4, tries
    assert p.controller.reason == "NotClosed" and p.controller.state == "Faulted"
    p.stuck_open = False
    p.controller.request_start()
    p.ms_until(lambda: p.outputs.contactor, 10000)


def silent_meter():
    p = charging()
    p.readings.meter_ok = False
    p.readings.meter_wh += 100
    p.run(1000)
    assert p.outputs.contactor and p.controller.faults.active_codes() == ["MeterSilent"]
    assert p.controller.session.estimated and p.controller.session.energy_wh == 100


def unknown_cable():
    p = plant()
    p.cable_a = PROXIMITY_FAULT
    p.car = "B"
    p.run(2000)
    assert p.controller.reason == "Proximity" and not p.outputs.contactor
    p = charging()
    p.cable_a = 0
    assert opens_now(p)


def tethered():
    p = plant(tethered=True, fixed_cable_ma=20000)
    p.cable_a = 0
    p.car = "C"
    p.ms_until(lambda: p.outputs.contactor, 3000)
    assert p.outputs.lock_drive == DRIVE_OFF and p.controller.unlocked()
    assert p.readings.lock == LOCK_UNLOCKED


def self_test():
    p = plant(has_rcd_test=True)
    p.car = "B"
    p.ms_until(lambda: p.outputs.rcd_test, 2000)
    p.run(100)
    p.readings.rcd_tripped = True
    p.tick()
    assert not p.outputs.rcd_test and not p.controller.faults.active_codes()
    p.run(100)
    assert p.outputs.pilot == PILOT_STEADY and p.controller.reason == "Testing"
    p.readings.rcd_tripped = False
    p.ms_until(lambda: p.outputs.pilot == PILOT_PWM, 2000)
    p = plant(has_rcd_test=True)
    p.car = "B"
    p.run(5000)
    assert p.controller.reason == "RcdTest" and p.outputs.pilot == PILOT_STEADY


def out_of_service():
    p = plant()
    p.config.available = False
    p.run(100)
    assert p.outputs.pilot == PILOT_F and p.controller.state == "Unavailable"
    p.config.available = True
    p.run(1000)
    assert p.controller.state == "Available"


def durations():
    p = charging()
    before_s = p.controller.session.duration_s
    p.run(3600000 // 60)
    assert p.controller.session.duration_s == before_s + 60


SEQUENCES = (
    plug_and_start,
    car_stops_and_resumes,
    one_stray_reading,
    permit_withdrawn,
    car_ignores_withdrawal,
    authorized_and_not_yet_allowed,
    tap_that_stops_and_releases,
    unplug_under_load,
    sleeping_car,
    woken_car_charges,
    power_back_with_car,
    limits_and_duty,
    weak_cable,
    unlock_while_charging,
    stop_and_start,
    ventilation,
    jammed_lock,
    jammed_lock_is_tried_again_on_request,
    bolt_stuck_half_way,
    lock_lost,
    welded,
    residual_current,
    missing_diode,
    shorted_pilot,
    heat,
    too_much_current,
    contactor_that_does_not_close,
    silent_meter,
    unknown_cable,
    tethered,
    self_test,
    out_of_service,
    durations,
)

for start_ms in (0, ticks.MASK - 5000):
    for sequence in SEQUENCES:
        try:
            sequence()
        except AssertionError as error:
            print("%s (from tick %d): %s" % (sequence.__name__, start_ms, error))
            raise
print(len(SEQUENCES), "sequences")
