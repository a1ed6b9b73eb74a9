"""ESP32-DevKitC as in dzurikmiroslav's esp32-evse: a charger to build oneself.

Plain data for an electrician to read and change; the drivers beside this file hold the logic. A
part that your charger lacks is deleted, or commented out, as a whole. Pins are GPIO numbers. A
level is 1 for 3.3 V on the pin and 0 for 0 V. Voltages are mV at the ESP32's input.
"""

BOARD = {
    "name": "ESP32-DevKitC EVSE",
    # Control pilot, the wire that tells the car how much it may draw (IEC 61851-1).
    "pilot": {
        "pwm_pin": 27,  # high: +12 V on the line, low: -12 V
        "adc_pin": 36,
        "adc_range_mv": 3100,
        # mV at the input, mV on the pilot line: from +12 V down. Between two lines it is straight.
        "levels_mv": (
            (2558, 12000),
            (2405, 10500),  # from here on up +12 V, below it +9 V
            (2099, 7500),  # +9 / +6
            (1792, 4500),  # +6 / +3
            (1484, 1500),  # +3 / 0
            (728, -6000),  # 0 / -12
            (123, -12000),
        ),
    },
    # The resistor in the cable's plug that tells what the cable can carry.
    "proximity": {
        "adc_pin": 39,
        "adc_range_mv": 3100,
        # from mV, to mV, A. No cable is 0 A. Between the ranges, and below all, is a fault.
        "ratings": (
            (2640, 3400, 0),  # nothing plugged in
            (1650, 2639, 13),  # 1500 Ohm
            (820, 1649, 20),  # 680 Ohm
            (430, 819, 32),  # 220 Ohm
            (200, 429, 63),  # 100 Ohm; below: short circuit
        ),
    },
    "contactor": {
        "pins": (26,),
        "closed_level": 1,
        # An auxiliary contact and its level when the contactor is closed:
        # "feedback_pins": (..,),
        # "feedback_closed_level": 0,
    },
    # Which LEDs shine: charging, error, WiFi (here: ready).
    "led": {
        "pins": (19, 18, 17),
        "on_level": 1,
        "ready": (0, 0, 1),
        "waiting": (0, 0, 1),
        "charging": (1, 0, 1),
        "fault": (0, 1, 0),
    },
    # S0 output of an energy meter, between this pin and ground. The setting meter_pulses_per_kwh
    # says what a pulse is worth. No meter: delete this part, and energy is estimated.
    "meter": {
        "pulse_pin": 23,
        "pull_up": True,
    },
    # The DevKitC's own button, marked BOOT: held for a second it opens the charger's WiFi.
    "button": {
        "pin": 0,
        "pressed_level": 0,
        "pull_up": True,
    },
    # No card reader in esp32-evse. Its pins 21 and 22 are free: a PN532 of 3.3 V there would be:
    # "reader": {"kind": "pn532_i2c", "i2c": 0, "scl_pin": 22, "sda_pin": 21},
    # and a Wiegand reader, whose 5 V the pins do not bear, through a level shifter:
    # "reader": {"kind": "wiegand", "d0_pin": 21, "d1_pin": 22, "pull_up": True},
    # No lock: use a fixed cable. The one-wire sensor on pin 16 is not read: its answer would stop
    # the control loop for longer than a tick.
}
