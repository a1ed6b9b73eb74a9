"""The world around the virtual board's pins: car, cable, lock, contactor, meter, RCD, heat, card.

Promises: integers only; `advance_to()`, `read_pin()`, `write_pin()`, `pilot_mv()` and everything
else that a firmware tick reaches allocate nothing; equal calls give equal results (no randomness
but the seeded ADC noise, which is off unless asked for). Things happen at their due time, in
order, however late the firmware looks: a lock arrives, a timer fires, a contact bounces at the
millisecond that physics gives, not at the moment of the call.

Two clocks. Manual (the default, for tests): nothing moves but by `advance_to()`, `advance_by()`,
and by the few microseconds that an ADC conversion takes. Live (`use_live_clock()`): the
interpreter's own clock. `ms` wraps at 2**30, as on the device; `us` at the period of ticks_us.

Names are those of the JSON of the control link (see tools/virtual/process.py), as module globals:
read `world.lock_permille`, change with `world.set(plugged=True, cable_a=32)`.

It does not know what a charger should do, and it does not talk to anybody.
"""

import utime
from micropython import const

_MASK = const(0x3FFFFFFF)
_HALF = const(0x20000000)
_US_MASK = utime.ticks_add(0, -1)  # the period of ticks_us differs between the interpreters
_PINS = const(40)

# Pin modes, as machine.Pin of the ESP32 numbers them.
_OUT = const(3)
_OPEN_DRAIN = const(7)

# What the wiring says about a pin.
_FREE = const(0)
_COIL = const(1)
_LOCK_MOTOR = const(2)
_PILOT_OUT = const(3)
_PILOT_OFF = const(4)
_RCD_TEST = const(5)
_LOCK_FEEDBACK = const(6)
_CONTACTOR_FEEDBACK = const(7)
_RCD = const(8)
_METER = const(9)
_READER = const(10)
_BUTTON = const(11)

# Electrics of IEC 61851-1: source of +-12 V behind 1 kohm; the car's resistors.
_SOURCE_MV = const(12000)
_SOURCE_OHM = const(1000)
_DIODE_MV = const(700)
_B_OHM = const(2740)
_C_OHM = const(882)  # 2740 in parallel with 1300
_D_OHM = const(246)  # 2740 in parallel with 270

_CLOSE_MS = const(20)  # coil to contact, a usual 4-pole contactor
_OPEN_MS = const(12)
_RAMP_MA_PER_MS = const(20)  # the car reaches any offered current within 4 s
_STEP_MS = const(10)  # while current flows, energy is added up in steps of at most this
_WAKE_MS = const(3000)  # a sleeping car wakes after E or F of at least this
_RCD_TEST_MS = const(15)  # the RCD answers its test winding after this
_LOCK_HOLDS = const(300)  # permille of travel from which the pin holds the plug
_LOCK_MADE = const(900)  # permille of travel at which the feedback contact changes
_SLEW_US = const(2)
_MJ_PER_MWH = const(3600)

# Fields that set() accepts; process.py keeps them across power cuts.
FIELDS = (
    "plugged",
    "car_connected",
    "cable_a",
    "car_state",
    "draw_ma",
    "phases",
    "mains_v",
    "asleep",
    "diode",
    "ignores_duty",
    "s2_follows_ms",
    "lock_permille",
    "lock_travel_ms",
    "jammed",
    "lock_feedback_broken",
    "welded",
    "contactor_bounce_ms",
    "contactor_stuck_open",
    "rcd_tripped",
    "rcd_self_test_ok",
    "pilot_short",
    "temperature_dc",
    "temperature_broken",
    "meter_silent",
    "meter_pulses_per_kwh",
    "energy_wh",
    "energy_rest_mwh",
    "noise_mv",
    "wifi",
    "wifi_password",
    "ap_clients",
    "cloud",
    "card",
    "reader_fault",
    "button",
)

# What can be wrong with the card reader; pn532_chip.py and wiegand_reader.py say what it means.
READER_FAULTS = " unplugged hangs garbage checksum late no_ack resets stuck".split(" ")

plugged = False  # the cable is in the socket
car_connected = True  # and its other end is in the car
cable_a = 32  # rating: 13, 20, 32, 63; 0 no resistor; -1 short
car_state = "B"  # what the car asks for with S2: "B", "C", "D"
draw_ma = 32000  # what the car would take if it might, each phase
phases = 1
mains_v = 230
asleep = False
diode = True
ignores_duty = False
s2_follows_ms = 0  # the car opens S2 this long after the PWM went away; 0: never
lock_permille = 0  # 0 unlocked .. 1000 locked
lock_travel_ms = 300
jammed = False
lock_feedback_broken = False
welded = False
contactor_bounce_ms = 4
contactor_stuck_open = False
rcd_tripped = False
rcd_self_test_ok = True
pilot_short = False
temperature_dc = 250
temperature_broken = False
meter_silent = False
meter_pulses_per_kwh = 1000
energy_wh = 0
energy_rest_mwh = 0
noise_mv = 0
wifi = True
wifi_password = ""  # of the house's network; empty: it takes any
ap_clients = 0  # phones in the charger's own network
cloud = True
card = ""  # number of the card that lies on the reader, in hexadecimal
reader_fault = ""  # one of READER_FAULTS
button = False  # somebody holds the board's button down

# What follows from them (read only).
coil = False
contactor_closed = False
lock_drive = 0
lock_drive_ms = 0  # how long the motor has been driven without a break
lock_drive_longest_ms = 0
current_ma = 0
duty_permille = 0  # 1000 steady +12 V, 0 steady -12 V or off
pilot_high_mv = -_SOURCE_MV
pilot_low_mv = -_SOURCE_MV
s2_closed = False
callback_errors = 0
wdt_bites = 0  # manual clock only; on the live clock the host pulls the reset

ms = 0
us = 0
live = False
adc_conversion_us = 45
tap = None  # called with no arguments after an output changed; the boot ROM sets it

# Pins: what the firmware did, and the wiring.
mode = bytearray(_PINS)
level = bytearray(_PINS)  # output register
pull = bytearray(_PINS)
_role = bytearray(_PINS)
_active = bytearray(_PINS)  # level that means "on" for coil, pilot off, RCD test, feedback
pilot_adc = -1
proximity_adc = -1
temperature_adc = -1
proximity_mv = 3300
temperature_mv = 0
_pilot_levels = ((0, -_SOURCE_MV), (3300, _SOURCE_MV))
_proximity_levels = {}
_temperature_levels = ()
_coils = ()
_lock_a = -1
_lock_b = -1
_lock_pattern = 0
_unlock_pattern = 3
_pulse_mwh = 1000
_pulse_ms = 30
has_meter = False

# Pilot generator: 0 steady low, 1 steady high, 2 PWM, 3 disconnected.
_source = 0
_pwm_pin = -1
_pwm_duty = 0
_period_us = 1000
_high_us = 0
_adc_high_mv = 0
_adc_low_mv = 0
_offered_ma = 0

_us_part = 0
held = False  # no time passes: something is half done, or a callback runs
_contact = False
_contact_due = 0
_contact_moving = False
_contact_since = 0
_target_ma = 0
_lock_pos = 0  # in milliseconds of travel
_power_rest = 0
_energy_mj = 0
_pulse_acc = 0
_pulse_on = False
_pulse_due = 0
_rcd_test_since = -1
_wake_seen_ms = 0
_no_pwm_ms = 0
_seed = 12345
_wdt_ms = 0
_wdt_due = 0

timers = [None, None, None, None, None]  # four of the chip, and the Wiegand reader's next bit
reader = None  # the card reader, if the board has one: told by changed() what set() has changed
_pulsed = -1  # pin that a pulse of the reader pulls low just now
outputs_changed = True  # cleared by whoever looks at mode and level
wlan_active = False  # the radio is on: ADC2 does not work
irqs = []  # machine.Pin objects with a handler


def diff(a, b):
    """Milliseconds from b to a, both wrapped at 2**30."""
    return ((a - b + _HALF) & _MASK) - _HALF


# ---------------------------------------------------------------- clock


def use_live_clock():
    """From now on the interpreter's clock drives the world; what passed before does not count."""
    global live, ms, us
    live = True
    ms = utime.ticks_ms() & _MASK
    us = utime.ticks_us()


def start_at(now_ms):
    """Set the manual clock without letting any time pass (to test its wrap). Timers must be off."""
    global ms
    ms = now_ms & _MASK


def advance_to(now_ms):
    """Manual clock: let time pass until `now_ms` (wrapped). In the past: nothing happens."""
    advance_by(diff(now_ms & _MASK, ms))


def advance_by(step_ms):
    """Manual clock: let `step_ms` pass."""
    global us, _us_part
    if step_ms <= 0:
        return
    us = (us - _us_part + step_ms * 1000) & _US_MASK
    _us_part = 0
    _run((ms + step_ms) & _MASK)


def sync():
    """Live clock: catch up with it. Manual clock: nothing."""
    if live:
        _run(utime.ticks_ms() & _MASK)


def elapse_us(step_us):
    """The CPU or the ADC was busy for this long; at most a second or so."""
    global us, _us_part
    if live:
        now = utime.ticks_us()
        if utime.ticks_diff(now, us) > 0:
            us = now
        us = utime.ticks_add(us, step_us)
        return
    us = (us + step_us) & _US_MASK
    _us_part += step_us
    if _us_part >= 1000:
        step_ms = _us_part // 1000
        _us_part -= step_ms * 1000
        _run((ms + step_ms) & _MASK)


def _run(until):
    """Everything that is due until then, in order."""
    global ms, held
    if held:
        return  # a callback looks at the world while time stands still at its due time
    left = ((until - ms + _HALF) & _MASK) - _HALF
    if left < 0:
        return
    held = True
    try:
        while True:
            step = left
            due = None
            for timer in timers:
                if timer is not None:
                    d = ((timer.due - ms + _HALF) & _MASK) - _HALF
                    if d < step or (d == step and due is None):
                        step = d if d > 0 else 0
                        due = timer
            if not left and due is None:
                break
            busy = (
                _contact_moving
                or _target_ma
                or current_ma
                or _pulse_on
                or lock_drive
                or _rcd_test_since >= 0
                or asleep
                or s2_follows_ms
                or _wdt_ms
            )
            if busy:
                d = _limit(step)
                if d < step:
                    step = d
                    due = None
            ms = (ms + step) & _MASK
            left -= step
            if busy:
                _pass(step)
            if due is not None:
                due.fire()
            if irqs:
                _edges()
    finally:
        held = False


def _limit(step):
    """How far time may go in one piece."""
    if _contact_moving:
        d = ((_contact_due - ms + _HALF) & _MASK) - _HALF
        if d < step:
            step = d if d > 0 else 0
    if _pulse_on:
        d = ((_pulse_due - ms + _HALF) & _MASK) - _HALF
        if d < step:
            step = d if d > 0 else 0
    if _wdt_ms:
        d = ((_wdt_due - ms + _HALF) & _MASK) - _HALF
        if d < step:
            step = d if d > 0 else 0
    if step > _STEP_MS and (_target_ma or current_ma or _pulse_on or _rcd_test_since >= 0):
        step = _STEP_MS
    if step > 100 and (lock_drive or asleep or s2_follows_ms):
        step = 100
    return step


def _pass(step):
    """Let `step` ms, now over, act on everything that moves."""
    global _contact, _contact_moving, _contact_since, _pulse_on
    global _lock_pos, lock_permille, lock_drive_ms, lock_drive_longest_ms
    global asleep, _wake_seen_ms, _no_pwm_ms, wdt_bites, _wdt_due
    if lock_drive:
        lock_drive_ms += step
        if lock_drive_ms > lock_drive_longest_ms:
            lock_drive_longest_ms = lock_drive_ms
        if not jammed:
            _lock_pos += lock_drive * step
            if _lock_pos < 0:
                _lock_pos = 0
            elif _lock_pos > lock_travel_ms:
                _lock_pos = lock_travel_ms
            lock_permille = _lock_pos * 1000 // lock_travel_ms
    if current_ma or _target_ma:
        _flow(step)
    if _contact_moving and ((_contact_due - ms + _HALF) & _MASK) - _HALF <= 0:
        _contact_moving = False
        _contact = coil
        _contact_since = ms
        _refresh()
    if _pulse_on and ((_pulse_due - ms + _HALF) & _MASK) - _HALF <= 0:
        _pulse_on = False
    if asleep:
        # E or F: no positive half for long enough.
        if _source != 2 and pilot_high_mv < 1500 and plugged:
            _wake_seen_ms += step
            if _wake_seen_ms >= _WAKE_MS:
                asleep = False
                _refresh()
        else:
            _wake_seen_ms = 0
    if s2_follows_ms:
        if _source == 2:
            if _no_pwm_ms:
                _no_pwm_ms = 0
                _refresh()
        elif _no_pwm_ms < s2_follows_ms:
            _no_pwm_ms += step
            if _no_pwm_ms >= s2_follows_ms:
                _refresh()
    if _wdt_ms and ((_wdt_due - ms + _HALF) & _MASK) - _HALF <= 0:
        wdt_bites += 1
        _wdt_due = (ms + _wdt_ms) & _MASK


def _flow(step):
    """Current ramps, energy, meter pulses."""
    global current_ma, _power_rest, _energy_mj, energy_wh, energy_rest_mwh
    global _pulse_acc, _pulse_on, _pulse_due
    before = current_ma
    change = _RAMP_MA_PER_MS * step
    if current_ma < _target_ma:
        current_ma = min(current_ma + change, _target_ma)
    elif current_ma > _target_ma:
        current_ma = max(current_ma - change, _target_ma)
    # mW, then W and the rest apart: W times ms would not fit 30 bits as mW times ms.
    mw = ((before + current_ma) >> 1) * mains_v * _phases_now() + _power_rest
    w = mw // 1000
    _power_rest = mw - w * 1000
    _energy_mj += w * step
    n = _energy_mj // _MJ_PER_MWH
    if not n:
        return
    _energy_mj -= n * _MJ_PER_MWH
    energy_rest_mwh += n
    while energy_rest_mwh >= 1000:
        energy_rest_mwh -= 1000
        energy_wh += 1
    if has_meter and not meter_silent:
        _pulse_acc += n
        if _pulse_acc >= _pulse_mwh and not _pulse_on:
            _pulse_acc -= _pulse_mwh
            _pulse_on = True
            _pulse_due = (ms + _pulse_ms) & _MASK


def _phases_now():
    if phases > 1 and len(_coils) > 1 and not welded:
        # The second contactor carries phases two and three.
        if mode[_coils[1]] != _OUT or level[_coils[1]] != _active[_coils[1]]:
            return 1
    return phases


# ---------------------------------------------------------------- what follows from what


def _refresh():
    """After any change: contacts, pilot levels, what the car will draw. Not in an idle tick."""
    global contactor_closed, current_ma, _target_ma, s2_closed
    global pilot_high_mv, pilot_low_mv, _adc_high_mv, _adc_low_mv
    global _source, _high_us, _offered_ma, duty_permille
    contactor_closed = welded or (_contact and not contactor_stuck_open)

    n = _pilot_out
    if _pilot_off >= 0 and mode[_pilot_off] == _OUT and level[_pilot_off] == _active[_pilot_off]:
        _source = 3
    elif _pwm_pin >= 0 and _pwm_pin == n:
        _source = 0 if _pwm_duty <= 0 else 1 if _pwm_duty >= 65535 else 2
    elif n >= 0 and mode[n] == _OUT and level[n]:
        _source = 1
    else:
        _source = 0
    if _source == 2:
        duty_permille = (_pwm_duty * 1000 + 32768) >> 16
        _high_us = (_period_us * _pwm_duty) >> 16
    else:
        duty_permille = 1000 if _source == 1 else 0

    here = plugged and car_connected
    s2_closed = (
        here
        and car_state != "B"
        and not asleep
        and not (s2_follows_ms and _no_pwm_ms >= s2_follows_ms)
    )
    high = low = 0
    if not pilot_short and _source != 3:
        high = _SOURCE_MV
        low = -_SOURCE_MV
        if here:
            ohm = _B_OHM if not s2_closed else _C_OHM if car_state == "C" else _D_OHM
            if diode:
                high = (_SOURCE_MV - _DIODE_MV) * ohm // (ohm + _SOURCE_OHM) + _DIODE_MV
            else:
                high = _SOURCE_MV * ohm // (ohm + _SOURCE_OHM)
                low = -high
    if _source == 0:
        high = low
    elif _source == 1:
        low = high
    pilot_high_mv = high
    pilot_low_mv = low
    _adc_high_mv = _interpolate(_pilot_levels, 1, 0, high)
    _adc_low_mv = _interpolate(_pilot_levels, 1, 0, low)

    _offered_ma = 0
    if _source == 2 and 950 <= _period_us <= 1050:
        if 95 <= duty_permille <= 850:
            _offered_ma = duty_permille * 60
        elif 850 < duty_permille <= 965:
            _offered_ma = (duty_permille - 640) * 250
    if not contactor_closed or not s2_closed:
        current_ma = 0
        _target_ma = 0
    elif ignores_duty:
        _target_ma = draw_ma
    else:
        _target_ma = min(draw_ma, _offered_ma)


def _interpolate(table, x, y, value):
    """Piecewise linear through `table` (rows in any monotonic order), held beyond its ends."""
    before = None
    ends = table[0]
    for row in table:
        if before is not None:
            x0 = before[x]
            x1 = row[x]
            if x0 <= value <= x1 or x1 <= value <= x0:
                if x1 == x0:
                    return row[y]
                return before[y] + (value - x0) * (row[y] - before[y]) // (x1 - x0)
        if abs(row[x] - value) < abs(ends[x] - value):
            ends = row
        before = row
    return ends[y]


def set(**fields):
    """Change the world now. ValueError: unknown field, or a plug that the lock holds.

    Plugging in wakes a sleeping car, unless the same call says that it sleeps.
    """
    global _lock_pos, asleep, _wake_seen_ms, proximity_mv, temperature_mv, held
    global _pulse_mwh, _pulse_ms
    sync()
    for name in fields:
        if name not in FIELDS:
            raise ValueError("no such field: " + name)
    if plugged and not fields.get("plugged", True) and lock_holds():
        raise ValueError("the lock holds the plug")
    if not _is_card(fields.get("card", "")):
        raise ValueError("a card's number is up to ten bytes in hexadecimal")
    if fields.get("reader_fault", "") not in READER_FAULTS:
        raise ValueError("no such reader_fault")
    if fields.get("plugged") and not plugged and "asleep" not in fields:
        asleep = False
    was = held
    held = True
    try:
        names = globals()
        for name in fields:
            names[name] = fields[name]
        if "lock_permille" in fields or "lock_travel_ms" in fields:
            _lock_pos = lock_permille * lock_travel_ms // 1000
        _wake_seen_ms = 0
        _pulse_mwh = 1000000 // meter_pulses_per_kwh
        _pulse_ms = 30 if meter_pulses_per_kwh <= 2000 else 3
        proximity_mv = _proximity_levels.get(cable_a if plugged else 0, 3300)
        if temperature_broken or not _temperature_levels:
            temperature_mv = 0
        else:
            temperature_mv = _interpolate(_temperature_levels, 1, 0, temperature_dc)
        _refresh()
        if reader is not None:
            reader.changed()
        if irqs:
            _edges()
    finally:
        held = was


def _is_card(text):
    return (
        isinstance(text, str)
        and len(text) <= 20
        and len(text) % 2 == 0
        and all(c in "0123456789abcdefABCDEF" for c in text)
    )


def lock_holds():
    """True while the plug cannot be pulled out."""
    return lock_permille > _LOCK_HOLDS


def carry_over(contact, modes, levels):
    """After a reset: outputs and contact as they were (zeros: floating), PWM stopped.

    `modes` and `levels` hold the bits of pins 0-19 and 20-39.
    """
    global _contact, _pwm_pin
    _contact = contact
    _pwm_pin = -1
    for n in range(_PINS):
        mode[n] = _OUT if modes[n // 20] >> n % 20 & 1 else 0
        level[n] = levels[n // 20] >> n % 20 & 1
    for n in range(_PINS):
        if _role[n]:
            _moved(n)
    _refresh()


# ---------------------------------------------------------------- pins


def drive(n, new_level):
    """The firmware writes the output register of a pin."""
    global held, outputs_changed
    sync()
    if level[n] == new_level:
        return
    was = held
    held = True
    level[n] = new_level
    outputs_changed = True
    if _role[n]:
        _moved(n)
    held = was
    if tap is not None:
        tap()


def configure(n, new_mode, new_level, new_pull):
    """The firmware sets up a pin; -1 leaves a thing as it is. Ends PWM on that pin."""
    global held, outputs_changed, _pwm_pin
    sync()
    was = held
    held = True
    if new_level >= 0:
        level[n] = new_level
    if new_mode >= 0:
        mode[n] = new_mode
        if n == _pwm_pin:
            _pwm_pin = -1
    if new_pull >= 0:
        pull[n] = new_pull
    outputs_changed = True
    if _role[n]:
        _moved(n)
    held = was
    if tap is not None:
        tap()


def _moved(n):
    """Mode, level or PWM of a wired pin changed."""
    global coil, lock_drive, lock_drive_ms, _contact_due, _contact_moving, _rcd_test_since
    role = _role[n]
    if role == _COIL:
        on = False
        for pin in _coils:
            if mode[pin] == _OUT and level[pin] == _active[pin]:
                on = True
        if on != coil:
            coil = on
            _contact_moving = on != _contact
            _contact_due = (ms + (_CLOSE_MS if on else _OPEN_MS)) & _MASK
    elif role == _LOCK_MOTOR:
        direction = 0
        if mode[_lock_a] == _OUT and mode[_lock_b] == _OUT:
            pattern = level[_lock_a] << 1 | level[_lock_b]
            if pattern == _lock_pattern:
                direction = 1
            elif pattern == _unlock_pattern:
                direction = -1
        if not direction:
            lock_drive_ms = 0
        lock_drive = direction
    elif role == _PILOT_OUT or role == _PILOT_OFF:
        _refresh()
    elif role == _RCD_TEST:
        if mode[n] == _OUT and level[n] == _active[n]:
            if _rcd_test_since < 0:
                _rcd_test_since = ms
        else:
            _rcd_test_since = -1


def read_pin(n):
    """Level of a pin as an input sees it."""
    m = mode[n]
    if m == _OUT:
        return level[n]
    if m == _OPEN_DRAIN and not level[n]:
        return 0
    role = _role[n]
    on = False
    if role == _LOCK_FEEDBACK:
        on = lock_permille >= _LOCK_MADE and not lock_feedback_broken
    elif role == _CONTACTOR_FEEDBACK:
        on = contactor_closed
        if not welded and ((ms - _contact_since) & _MASK) < contactor_bounce_ms:
            # The contact chatters: closed in the even milliseconds after it first made.
            on = on and not (ms - _contact_since) & 1
    elif role == _RCD:
        on = rcd_tripped or (
            rcd_self_test_ok
            and _rcd_test_since >= 0
            and ((ms - _rcd_test_since) & _MASK) >= _RCD_TEST_MS
        )
    elif role == _METER:
        on = _pulse_on
    elif role == _READER:
        on = _pulsed == n
    elif role == _BUTTON:
        on = button
    else:
        return 1 if pull[n] == 2 else 0
    return _active[n] if on else 1 - _active[n]


def _edges():
    """Call the handlers of input pins whose level changed."""
    for pin in irqs:
        pin.edge()


def pulse(n):
    """A pulse that is over before anybody can look at the pin: only its edges are seen."""
    global _pulsed
    _pulsed = n
    _edges()
    _pulsed = -1
    _edges()


def pwm(n, freq, duty_u16):
    """PWM on a pin; freq 0: PWM ended, the pin is what mode and level say."""
    global _pwm_pin, _pwm_duty, _period_us, held
    if n != _pilot_out:
        return
    sync()
    was = held
    held = True
    if freq:
        _pwm_pin = n
        _pwm_duty = duty_u16
        _period_us = 1000000 // freq
    else:
        _pwm_pin = -1
    _moved(n)
    held = was
    if tap is not None:
        tap()


def pilot_has_pwm():
    """True once the firmware has given the pilot's pin to a PWM generator."""
    return _pwm_pin >= 0


def pilot_mv():
    """Millivolts at the pilot's ADC pin at this microsecond; converting takes its time."""
    global _seed
    if _source == 2:
        if live:
            elapse_us(0)
        t = us % _period_us
        if t < _high_us:
            v = _adc_high_mv
        else:
            t -= _high_us
            v = _adc_low_mv
        if t < _SLEW_US:
            v = (_adc_high_mv + _adc_low_mv) >> 1
    elif _source == 0:
        v = _adc_low_mv
    else:
        v = _adc_high_mv
    if noise_mv:
        _seed = _seed * 75 % 65537
        v += _seed % (2 * noise_mv + 1) - noise_mv
        if v < 0:
            v = 0
    elapse_us(adc_conversion_us)
    return v


def watchdog(timeout_ms):
    """Manual clock: start or feed a watchdog; 0 stops it. A bite counts in `wdt_bites`."""
    global _wdt_ms, _wdt_due
    _wdt_ms = timeout_ms
    _wdt_due = (ms + timeout_ms) & _MASK


# ---------------------------------------------------------------- wiring

_pilot_out = -1
_pilot_off = -1


def _use(n, role, active=1):
    if n >= 0:
        _role[n] = role
        _active[n] = active


def wire(board):
    """Connect the pins as the BOARD dictionary of a file in firmware/board/ says.

    Names that the dictionary does not have are hardware that the board does not have.
    """
    global _pilot_out, _pilot_off, pilot_adc, _pilot_levels, proximity_adc, _proximity_levels
    global _coils, _lock_a, _lock_b, _lock_pattern, _unlock_pattern, has_meter
    global temperature_adc, _temperature_levels, _pwm_pin
    for n in range(_PINS):
        _role[n] = _FREE
    _pwm_pin = -1
    pilot = board["pilot"]
    _pilot_out = pilot["pwm_pin"]
    _use(_pilot_out, _PILOT_OUT)
    _pilot_off = pilot.get("cut_pin", -1)
    _use(_pilot_off, _PILOT_OFF, pilot.get("cut_level", 1))
    pilot_adc = pilot["adc_pin"]
    _pilot_levels = pilot["levels_mv"]

    part = board.get("proximity")
    proximity_adc = -1
    _proximity_levels = {}
    if part:
        proximity_adc = part["adc_pin"]
        for low, high, rating in part["ratings"]:
            _proximity_levels[rating] = (low + high) // 2
        _proximity_levels[-1] = 0

    part = board["contactor"]
    _coils = tuple(part["pins"])
    for n in _coils:
        _use(n, _COIL, part.get("closed_level", 1))
    for n in part.get("feedback_pins", ()):
        _use(n, _CONTACTOR_FEEDBACK, part.get("feedback_closed_level", 0))

    part = board.get("lock")
    _lock_a = _lock_b = -1
    if part:
        _lock_a = part["a_pin"]
        _lock_b = part["b_pin"]
        _use(_lock_a, _LOCK_MOTOR)
        _use(_lock_b, _LOCK_MOTOR)
        _lock_pattern = part["lock"][0] << 1 | part["lock"][1]
        _unlock_pattern = part["unlock"][0] << 1 | part["unlock"][1]
        _use(part.get("feedback_pin", -1), _LOCK_FEEDBACK, part.get("locked_level", 1))

    part = board.get("rcd")
    if part:
        _use(part.get("trip_pin", -1), _RCD, part.get("tripped_level", 1))
        _use(part.get("test_pin", -1), _RCD_TEST, part.get("test_level", 1))

    part = board.get("button")
    if part:
        _use(part["pin"], _BUTTON, part["pressed_level"])

    part = board.get("temperature")
    temperature_adc = -1
    _temperature_levels = ()
    if part:
        temperature_adc = part["adc_pin"]
        _temperature_levels = part["table_mv"]

    part = board.get("meter")
    has_meter = part is not None
    if part:
        # An open collector between the pin and ground.
        _use(part["pulse_pin"], _METER, part.get("pulse_level", 0))

    part = board.get("reader", {})
    _use(part.get("d0_pin", -1), _READER, 0)
    _use(part.get("d1_pin", -1), _READER, 0)
    set()
