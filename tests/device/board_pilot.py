"""The pilot's burst against a line that switches a thousand times a second."""

import random

import board_fixture
import world
from board_fixture import near

from firmware.charging.signals import PILOT_E, PILOT_F, PILOT_PWM, PILOT_STEADY

BOARDS = ("smartevse_v3", "esp32_devkit", "made_up")


def _sweep(name):
    board, readings, outputs = board_fixture.build(name)
    random.seed(1)
    world.set(plugged=True, cable_a=32, car_state="B")
    duties = list(range(100, 965, 5)) + [1000]
    for conversion_us in (30, 45, 60, 75, 90):
        world.adc_conversion_us = conversion_us
        for permille in duties:
            outputs.pilot = PILOT_PWM
            outputs.duty_permille = permille
            board.apply(outputs)
            for _ in range(4):
                world.elapse_us(2000 + random.randint(0, 999))
                before = world.ms * 1000 + world._us_part
                board.read(readings)
                took = world.ms * 1000 + world._us_part - before
                assert took < 4400, took
                near(readings.pilot_high_mv, world.pilot_high_mv, 60)
                near(readings.pilot_low_mv, world.pilot_low_mv, 60)
                assert world.pilot_low_mv == (-12000 if permille < 1000 else world.pilot_high_mv)


def test_burst_smartevse():
    _sweep("smartevse_v3")


def test_burst_devkit():
    _sweep("esp32_devkit")


def test_burst_made_up():
    _sweep("made_up")


def test_frequency_may_be_off_by_two_permille():
    board, readings, outputs = board_fixture.build("esp32_devkit")
    random.seed(2)
    world.adc_conversion_us = 60
    outputs.pilot = PILOT_PWM
    for period_us in (998, 1002):
        for permille in (100, 105, 895, 900, 905, 955, 960):
            outputs.duty_permille = permille
            board.apply(outputs)
            # the world knows periods of whole microseconds only
            world._period_us = period_us
            world._high_us = period_us * permille // 1000
            for _ in range(40):
                world.elapse_us(random.randint(1, 999))
                board.read(readings)
                near(readings.pilot_high_mv, 12000)
                near(readings.pilot_low_mv, -12000)


def test_states_and_sources():
    for name in BOARDS:
        board, readings, outputs = board_fixture.build(name)
        for car, wanted_mv in (("A", 12000), ("B", 8976), ("C", 5997), ("D", 2930)):
            world.set(plugged=car != "A", car_state=car if car in "CD" else "B")
            outputs.pilot = PILOT_PWM
            outputs.duty_permille = 533
            board.apply(outputs)
            world.advance_by(16)
            board.read(readings)
            near(readings.pilot_high_mv, wanted_mv, 200)
            near(readings.pilot_low_mv, -12000)
            outputs.pilot = PILOT_STEADY
            board.apply(outputs)
            world.advance_by(16)
            board.read(readings)
            near(readings.pilot_high_mv, wanted_mv, 200)
            assert readings.pilot_low_mv == readings.pilot_high_mv
        world.set(plugged=True, car_state="C", diode=False)
        outputs.pilot = PILOT_PWM
        board.apply(outputs)
        board.read(readings)
        near(readings.pilot_low_mv, -readings.pilot_high_mv, 200)
        world.set(diode=True, pilot_short=True)
        board.read(readings)
        near(readings.pilot_high_mv, 0)
        near(readings.pilot_low_mv, 0)
        world.set(pilot_short=False)
        outputs.pilot = PILOT_F
        board.apply(outputs)
        board.read(readings)
        near(readings.pilot_high_mv, -12000)
        outputs.pilot = PILOT_E
        board.apply(outputs)
        board.read(readings)
        near(readings.pilot_high_mv, 0 if name == "smartevse_v3" else -12000)
        outputs.pilot = PILOT_PWM
        board.apply(outputs)
        board.read(readings)
        near(readings.pilot_high_mv, 5997, 200)
        near(readings.pilot_low_mv, -12000)


class _Disturbed:
    """An ADC input that spoils one sample of a burst."""

    def __init__(self, read_uv, spike_uv, stall_us):
        self.undisturbed = read_uv
        self.spike_uv = spike_uv
        self.stall_us = stall_us
        self.at = 0
        self.count = 0

    def read_uv(self):
        self.count += 1
        hit = self.count == self.at
        if hit and self.stall_us:
            world.elapse_us(self.stall_us)
        uv = self.undisturbed()
        return self.spike_uv if hit and self.spike_uv >= 0 else uv


def _disturb(spike_uv, stall_us, duties):
    board, readings, outputs = board_fixture.build("smartevse_v3")
    world.set(plugged=True, car_state="C")
    adc = _Disturbed(board._pilot._read_uv, spike_uv, stall_us)
    board._pilot._read_uv = adc.read_uv
    outputs.pilot = PILOT_PWM
    for permille in duties:
        outputs.duty_permille = permille
        board.apply(outputs)
        for at in range(1, 34):
            adc.at = at
            adc.count = 0
            world.elapse_us(2137)
            board.read(readings)
            near(readings.pilot_high_mv, 5997, 200)
            near(readings.pilot_low_mv, -12000)


def test_spike_changes_nothing():
    _disturb(3100000, 0, (100, 105, 300, 533, 850, 900))
    _disturb(0, 0, (100, 105, 300, 533, 850, 900))


def test_stall_changes_nothing():
    for stall_us in (40, 300, 700, 1400, 3000):
        _disturb(-1, stall_us, (100, 105, 300, 533, 850, 900))


def test_noise():
    for name in BOARDS:
        board, readings, outputs = board_fixture.build(name)
        world.set(plugged=True, car_state="C", noise_mv=10)
        outputs.pilot = PILOT_PWM
        outputs.duty_permille = 266
        board.apply(outputs)
        for _ in range(100):
            world.elapse_us(1234)
            board.read(readings)
            near(readings.pilot_high_mv, 5997, 300)
            near(readings.pilot_low_mv, -12000, 300)


def test_pwm_is_written_only_when_it_changes():
    board, _, outputs = board_fixture.build("smartevse_v3")
    pwm = board._pilot._pwm
    written = []

    class Counted:
        def duty_u16(self, duty):
            written.append(duty)
            pwm.duty_u16(duty)

    board._pilot._pwm = Counted()
    for pilot, permille in (
        (PILOT_STEADY, 1000),
        (PILOT_PWM, 267),
        (PILOT_PWM, 267),
        (PILOT_PWM, 533),
        (PILOT_F, 533),
        (PILOT_F, 100),
        (PILOT_STEADY, 0),
    ):
        outputs.pilot = pilot
        outputs.duty_permille = permille
        board.apply(outputs)
    assert written == [17498, 34931, 0, 65535], written
    assert world.duty_permille == 1000


board_fixture.run(globals())
