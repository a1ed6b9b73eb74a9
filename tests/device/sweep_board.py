"""A made-up board with everything that the drivers know: what the two real boards lack is here."""

BOARD = {
    "name": "Sweep board",
    "pilot": {
        "pwm_pin": 25,
        "cut_pin": 33,
        "cut_level": 0,
        "adc_pin": 36,
        "adc_range_mv": 3100,
        "levels_mv": ((2800, 12000), (400, -12000)),
    },
    "proximity": {
        "adc_pin": 39,
        "adc_range_mv": 3100,
        "ratings": (
            (2700, 3400, 0),
            (1800, 2150, 13),
            (1200, 1400, 20),
            (500, 700, 32),
            (200, 400, 63),
        ),
    },
    "contactor": {
        "pins": (26, 27),
        "closed_level": 1,
        "feedback_pins": (34,),
        "feedback_closed_level": 0,
    },
    "lock": {
        "a_pin": 17,
        "b_pin": 18,
        "off": (0, 0),
        "lock": (1, 0),
        "unlock": (0, 1),
        "pulse_ms": 500,
        "feedback_pin": 35,
        "locked_level": 1,
    },
    "led": {
        "pins": (2,),
        "on_level": 1,
        "ready": (0,),
        "waiting": (0,),
        "charging": (1,),
        "fault": (1,),
    },
    "rcd": {
        "trip_pin": 13,
        "tripped_level": 1,
        "pull_up": True,
        "test_pin": 14,
        "test_level": 1,
    },
    "temperature": {"adc_pin": 32, "adc_range_mv": 1750, "table_mv": ((1750, 1250), (100, -400))},
    "meter": {"pulse_pin": 23, "pull_up": True},
}
