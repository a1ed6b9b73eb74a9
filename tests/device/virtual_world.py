"""The physics behind the virtual pins, in virtual time. Runs with the fakes on the path."""

import gc

import machine
import world
from machine import ADC, PWM, Pin, Timer

BOARD = {
    "pilot": {
        "pwm_pin": 19,
        "cut_pin": 15,
        "cut_level": 1,
        "adc_pin": 39,
        "levels_mv": ((3000, 12000), (600, -12000)),  # 100 mV of the input are 1 V of the line
    },
    "proximity": {
        "adc_pin": 34,
        "ratings": ((2700, 3300, 0), (1800, 2100, 13), (1200, 1400, 20), (500, 700, 32)),
    },
    "contactor": {
        "pins": (32, 27),
        "closed_level": 1,
        "feedback_pins": (33,),
        "feedback_closed_level": 0,
    },
    "lock": {
        "a_pin": 17,
        "b_pin": 18,
        "off": (1, 1),
        "lock": (0, 1),
        "unlock": (1, 0),
        "pulse_ms": 400,
        "feedback_pin": 35,
        "locked_level": 0,
    },
    "rcd": {"trip_pin": 13, "tripped_level": 1, "test_pin": 14, "test_level": 1},
    "temperature": {"adc_pin": 36, "table_mv": ((1750, 1250), (100, -400))},
    "meter": {"pulse_pin": 23, "pull_up": True},
}

_FIRST = {name: getattr(world, name) for name in world.FIELDS}


def fresh():
    """A board just powered on, an empty world, no timers."""
    for number in range(4):
        Timer(number).deinit()
    del world.irqs[:]
    world.carry_over(False, (0, 0), (0, 0))
    machine.wire(BOARD)
    world.set(plugged=False, lock_permille=0) if not world.lock_holds() else None
    world.set(**{"lock_permille": 0})
    world.set(**_FIRST)
    world.advance_by(100)
    world.lock_drive_longest_ms = 0


def near(value, wanted, tolerance):
    assert abs(value - wanted) <= tolerance, (value, wanted)


def pilot_line(high, low):
    near(world.pilot_high_mv, high, 100)
    near(world.pilot_low_mv, low, 100)


def sample_extremes():
    """Highest and lowest of a burst long enough to meet every phase of the PWM, mV of the line."""
    adc = ADC(Pin(39), atten=ADC.ATTN_11DB)
    seen = [adc.read_uv() // 1000 for _ in range(60)]
    return (max(seen) - 1800) * 10, (min(seen) - 1800) * 10


def pilot_levels():
    fresh()
    pilot = Pin(19, Pin.OUT, value=1)
    cut = Pin(15, Pin.OUT, value=0)
    pilot_line(12000, 12000)
    pilot.off()
    pilot_line(-12000, -12000)
    pwm = PWM(Pin(19), freq=1000, duty_u16=32768)
    pilot_line(12000, -12000)
    for state, high in (("B", 9000), ("C", 6000), ("D", 2930)):
        world.set(plugged=True, car_state=state)
        pilot_line(high, -12000)
        got_high, got_low = sample_extremes()
        near(got_high, high, 150)
        near(got_low, -12000, 150)
    cut.on()
    pilot_line(0, 0)
    cut.off()
    world.set(car_state="C", diode=False)
    pilot_line(5620, -5620)
    world.set(diode=True, pilot_short=True)
    pilot_line(0, 0)
    world.set(pilot_short=False, car_connected=False)
    pilot_line(12000, -12000)  # the cable hangs in the socket, its other end lies on the ground
    world.set(car_connected=True)
    pwm.duty_u16(65535)
    pilot_line(6000, 6000)
    assert world.duty_permille == 1000
    pwm.deinit()
    pilot_line(-12000, -12000)
    world.carry_over(False, (0, 0), (0, 0))
    pilot_line(-12000, -12000)  # nothing drives the generator


def pilot_sampling():
    """The share of high samples is the duty, at any duty that means a current."""
    fresh()
    adc = ADC(Pin(39), atten=ADC.ATTN_11DB)
    pwm = PWM(Pin(19), freq=1000, duty_u16=32768)
    for permille in (100, 266, 500, 533, 850, 900, 960):
        pwm.duty_u16(permille * 65536 // 1000)
        near(world.duty_permille, permille, 1)
        high = 0
        for _ in range(1000):
            high += adc.read_uv() > 1800000
        near(high, permille, 25)


def car_follows():
    fresh()
    pwm = PWM(Pin(19), freq=1000, duty_u16=0)
    coil = Pin(32, Pin.OUT, value=0)
    second = Pin(27, Pin.OUT, value=0)
    world.set(plugged=True, car_state="C", draw_ma=80000)
    coil.on()
    second.on()
    world.advance_by(100)
    assert world.contactor_closed and world.current_ma == 0  # no PWM, no current
    for permille, ma in ((100, 6000), (266, 15960), (850, 51000), (960, 80000), (160, 9600)):
        pwm.duty_u16((permille * 65536 + 999) // 1000)
        world.advance_by(5000)
        near(world.current_ma, ma, 300)
    pwm.duty_u16(50 * 65536 // 1000)  # 5 %: digital communication, which this car does not speak
    world.advance_by(5000)
    assert world.current_ma == 0
    world.set(ignores_duty=True, draw_ma=20000)
    world.advance_by(5000)
    assert world.current_ma == 20000
    world.set(car_state="B")
    assert world.current_ma == 0
    world.set(car_state="C", ignores_duty=False, s2_follows_ms=1500)
    pwm.duty_u16(65535)
    world.advance_by(1400)
    assert world.s2_closed
    world.advance_by(200)
    assert not world.s2_closed
    pwm.duty_u16(17000)
    world.advance_by(20)
    assert world.s2_closed


def energy():
    fresh()
    PWM(Pin(19), freq=1000, duty_u16=17476)
    coil = Pin(32, Pin.OUT, value=1)
    Pin(27, Pin.OUT, value=1)
    pulses = [0]

    def count(pin):
        pulses[0] += 1

    Pin(23, Pin.IN, Pin.PULL_UP).irq(count, Pin.IRQ_FALLING)
    world.set(plugged=True, car_state="C", draw_ma=10000, phases=3)
    world.advance_by(5000)
    before = world.energy_wh
    first = pulses[0]
    for _ in range(3000):
        world.advance_by(200)
    near(world.energy_wh - before, 1150, 1)  # 3 x 230 V x 10 A for ten minutes
    near(pulses[0] - first, 1150, 2)
    world.set(meter_silent=True)
    first = pulses[0]
    world.advance_by(10000)
    assert pulses[0] <= first + 1
    coil.off()
    Pin(27, Pin.OUT, value=0)
    world.advance_by(100)
    before = world.energy_wh * 1000 + world.energy_rest_mwh
    world.advance_by(100000)
    assert world.energy_wh * 1000 + world.energy_rest_mwh == before


def contactor():
    fresh()
    feedback = Pin(33, Pin.IN)
    coil = Pin(32, Pin.OUT, value=0)
    assert feedback.value() == 1 and not world.contactor_closed
    world.set(contactor_bounce_ms=10)
    coil.on()
    world.advance_by(19)
    assert feedback.value() == 1
    changes = 0
    last = 1
    for _ in range(20):
        world.advance_by(1)
        changes += feedback.value() != last
        last = feedback.value()
    assert changes >= 5 and last == 0
    coil.off()
    world.advance_by(11)
    assert world.contactor_closed
    world.advance_by(1)
    assert not world.contactor_closed and feedback.value() == 1
    # A coil that is let go before the contact moved never closes it.
    coil.on()
    world.advance_by(5)
    coil.off()
    world.advance_by(100)
    assert not world.contactor_closed
    coil.on()
    world.advance_by(100)
    world.set(welded=True)
    coil.off()
    world.advance_by(100)
    assert world.contactor_closed and feedback.value() == 0
    world.set(welded=False, contactor_stuck_open=True)
    coil.on()
    world.advance_by(100)
    assert not world.contactor_closed and feedback.value() == 1


def lock():
    fresh()
    feedback = Pin(35, Pin.IN)
    a = Pin(17, Pin.OUT, value=1)
    b = Pin(18, Pin.OUT, value=1)
    world.set(plugged=True, lock_travel_ms=300)
    assert feedback.value() == 1
    a.off()
    world.advance_by(150)
    near(world.lock_permille, 500, 2)
    a.on()
    world.advance_by(1000)
    near(world.lock_permille, 500, 2)  # without drive it stays
    a.off()
    world.advance_by(119)
    assert feedback.value() == 1
    world.advance_by(2)
    assert feedback.value() == 0  # made at 90 % of the travel
    world.advance_by(400)
    assert world.lock_permille == 1000 and world.lock_drive_longest_ms == 521
    a.on()
    try:
        world.set(plugged=False)
        raise AssertionError("the plug came out of a locked socket")
    except ValueError:
        pass
    assert world.plugged
    world.set(jammed=True)
    b.off()
    world.advance_by(600)
    assert world.lock_permille == 1000
    world.set(jammed=False)
    world.advance_by(600)
    assert world.lock_permille == 0
    b.on()
    world.set(plugged=False)
    world.set(lock_permille=1000, lock_feedback_broken=True)
    assert feedback.value() == 1


def sleeping_car():
    fresh()
    pilot = Pin(19, Pin.OUT, value=1)
    pwm = PWM(pilot, freq=1000, duty_u16=17000)
    world.set(plugged=True, car_state="C", asleep=True)
    world.advance_by(60000)
    pilot_line(9000, -12000)
    pwm.duty_u16(0)
    world.advance_by(2000)
    pwm.duty_u16(17000)
    world.advance_by(1000)
    assert world.asleep  # two seconds of F were too short
    pwm.duty_u16(0)
    world.advance_by(4000)
    assert not world.asleep
    pwm.duty_u16(17000)
    pilot_line(6000, -12000)
    world.set(asleep=True)
    world.set(plugged=False)
    world.set(plugged=True)
    assert not world.asleep


def other_inputs():
    fresh()
    trip = Pin(13, Pin.IN, Pin.PULL_UP)
    test = Pin(14, Pin.OUT, value=0)
    assert trip.value() == 0
    world.set(rcd_tripped=True)
    assert trip.value() == 1
    world.set(rcd_tripped=False)
    test.on()
    world.advance_by(14)
    assert trip.value() == 0
    world.advance_by(2)
    assert trip.value() == 1
    test.off()
    assert trip.value() == 0
    world.set(rcd_self_test_ok=False)
    test.on()
    world.advance_by(100)
    assert trip.value() == 0

    heat = ADC(Pin(36), atten=ADC.ATTN_6DB)
    world.set(temperature_dc=250)
    near(heat.read_uv() // 1000, 750, 2)
    world.set(temperature_dc=710)
    near(heat.read_uv() // 1000, 1210, 2)
    world.set(temperature_broken=True)
    assert heat.read_uv() == 0

    proximity = ADC(Pin(34), atten=ADC.ATTN_11DB)
    assert proximity.read_uv() > 2700000
    for rating, mv in ((13, 1950), (20, 1300), (32, 600), (-1, 0)):
        world.set(plugged=True, cable_a=rating)
        near(proximity.read_uv() // 1000, mv, 1)
    world.set(cable_a=0)
    assert proximity.read_uv() > 2700000
    world.set(plugged=False)

    assert 0 <= ADC(Pin(37)).read_uv() < 1100000  # unwired: floats
    assert Pin(5, Pin.IN, Pin.PULL_UP).value() == 1
    assert Pin(5, Pin.IN, Pin.PULL_DOWN).value() == 0
    for wrong in (20, 24, 40, -1):
        try:
            Pin(wrong)
            raise AssertionError("an ESP32 has no such pin")
        except ValueError:
            pass
    try:
        Pin(36, Pin.OUT)
        raise AssertionError("GPIO36 cannot drive")
    except ValueError:
        pass


def timers():
    """Due times are exact and in order, however late the firmware looks."""
    fresh()
    seen = []
    start = world.ms
    led = Pin(2, Pin.OUT, value=0)

    def one(timer):
        seen.append(("one", world.diff(world.ms, start)))
        led.on()

    def many(timer):
        seen.append(("many", world.diff(world.ms, start)))

    def broken(timer):
        raise ValueError("a callback that fails")

    Timer(0).init(period=70, mode=Timer.ONE_SHOT, callback=one)
    periodic = Timer(1)
    periodic.init(period=50, mode=Timer.PERIODIC, callback=many)
    world.advance_by(170)
    assert seen == [("many", 50), ("one", 70), ("many", 100), ("many", 150)], seen
    assert led.value() == 1
    periodic.deinit()
    errors = world.callback_errors
    Timer(2).init(period=10, mode=Timer.ONE_SHOT, callback=broken)
    Timer(3).init(period=10, mode=Timer.ONE_SHOT, callback=many)
    world.advance_by(10)
    assert world.callback_errors == errors + 1
    assert len(seen) == 5


def clock_wrap():
    """Nothing notices that milliseconds wrap at 2**30."""
    fresh()
    world.start_at(0x3FFFFFFF - 1000)
    Pin(17, Pin.OUT, value=0)
    Pin(18, Pin.OUT, value=1)
    fired = []
    Timer(0).init(period=1500, mode=Timer.ONE_SHOT, callback=lambda timer: fired.append(world.ms))
    PWM(Pin(19), freq=1000, duty_u16=17476)
    Pin(32, Pin.OUT, value=1)
    world.set(plugged=True, car_state="C", draw_ma=10000)
    for _ in range(100):
        world.advance_by(20)
    assert fired == [499], fired
    assert world.lock_permille == 1000 and world.ms == 999
    assert world.current_ma == 10000


def allocates_nothing():
    fresh()
    rig = Rig()
    rig.ticks()
    bites = world.wdt_bites
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    rig.ticks()
    used = gc.mem_alloc() - before
    gc.enable()
    world.watchdog(0)
    assert used == 0, used
    assert world.wdt_bites == bites


class Rig:
    """What a firmware's tick would touch."""

    def __init__(self):
        self.pilot = ADC(Pin(39), atten=ADC.ATTN_11DB)
        self.proximity = ADC(Pin(34), atten=ADC.ATTN_11DB)
        self.pwm = PWM(Pin(19), freq=1000, duty_u16=17476)
        self.coil = Pin(32, Pin.OUT, value=1)
        self.a = Pin(17, Pin.OUT, value=1)
        Pin(18, Pin.OUT, value=1)
        self.feedback = Pin(35, Pin.IN)
        Timer(0).init(period=50, mode=Timer.PERIODIC, callback=ignore)
        Pin(23, Pin.IN, Pin.PULL_UP).irq(ignore, Pin.IRQ_FALLING)
        self.watchdog = machine.WDT(timeout=1000)
        world.set(plugged=True, car_state="C", phases=3, noise_mv=3)

    def ticks(self):
        for _ in range(1000):
            world.advance_by(20)
            for _ in range(30):
                self.pilot.read_uv()
            self.proximity.read_uv()
            self.a.value(0)
            self.a.value(1)
            self.feedback.value()
            self.coil.value(1)
            self.pwm.duty_u16(17476)
            self.watchdog.feed()


def ignore(what):
    pass


def watchdog():
    fresh()
    dog = machine.WDT(timeout=1000)
    for _ in range(10):
        world.advance_by(900)
        dog.feed()
    assert world.wdt_bites == 0
    world.advance_by(1001)
    assert world.wdt_bites == 1
    world.watchdog(0)


for case in (
    pilot_levels,
    pilot_sampling,
    car_follows,
    energy,
    contactor,
    lock,
    sleeping_car,
    other_inputs,
    timers,
    clock_wrap,
    watchdog,
    allocates_nothing,
):
    case()
    print(case.__name__, "ok")
