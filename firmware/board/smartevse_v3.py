"""SmartEVSE v3: an open-hardware charger with socket and lock, on an ESP32.

Plain data for an electrician to read and change; the drivers beside this file hold the logic. A
part that your charger lacks is deleted, or commented out, as a whole. Pins are GPIO numbers. A
level is 1 for 3.3 V on the pin and 0 for 0 V. Voltages are mV at the ESP32's input.
"""

BOARD = {
    "name": "SmartEVSE v3",
    # Control pilot, the wire that tells the car how much it may draw (IEC 61851-1).
    "pilot": {
        "pwm_pin": 19,  # high: +12 V on the line, low: -12 V
        "cut_pin": 15,  # cuts the line off (state E)
        "cut_level": 1,
        "adc_pin": 39,
        "adc_range_mv": 3100,
        # mV at the input, mV on the pilot line: from +12 V down. Between two lines it is straight.
        "levels_mv": (
            (3130, 12000),
            (3055, 10500),  # from here on up +12 V, below it +9 V
            (2735, 7500),  # +9 / +6
            (2400, 4500),  # +6 / +3
            (2000, 1500),  # +3 / 0
            (1600, -1500),  # the end of 0 V
            (300, -11400),  # the beginning of -12 V
            (200, -12000),
        ),
    },
    # The resistor in the cable's plug that tells what the cable can carry.
    "proximity": {
        "adc_pin": 34,
        # Not the 1750 mV of the board's own firmware: there 13 A and "no cable" look the same.
        "adc_range_mv": 3100,
        # from mV, to mV, A. No cable is 0 A. Between the ranges, and below all, is a fault.
        "ratings": (
            (2700, 3400, 0),  # nothing plugged in
            (1800, 2150, 13),  # 1500 Ohm (computed from the three below: 1 kOhm to 3.3 V)
            (1200, 1400, 20),  # 680 Ohm
            (500, 700, 32),  # 220 Ohm
            (200, 400, 63),  # 100 Ohm
        ),
    },
    # Both contactors switch together, the first one first.
    "contactor": {
        "pins": (32, 27),
        "closed_level": 1,
        # Auxiliary contacts, if the contactors have some, and their level when closed:
        # "feedback_pins": (.., ..),
        # "feedback_closed_level": 0,
    },
    # The motor that holds the plug in the socket.
    "lock": {
        "a_pin": 17,
        "b_pin": 18,
        "off": (1, 1),  # levels of a and b
        "lock": (0, 1),
        "unlock": (1, 0),
        "pulse_ms": 400,  # never driven longer than this (motors bear 300 to 600)
        "feedback_pin": 35,
        # 0 for the kind that SmartEVSE's menu calls solenoid (Dostar, Ratio, DUOSIDA ELB and ELM),
        # 1 for the kind that it calls motor (DUOSIDA EL, Phoenix Contact)
        "locked_level": 0,
    },
    # Which LEDs shine. Colours: red, green, blue.
    "led": {
        "pins": (2, 4, 12),
        "on_level": 1,
        "ready": (0, 1, 0),
        "waiting": (1, 1, 0),
        "charging": (0, 0, 1),
        "fault": (1, 0, 0),
    },
    # Residual current monitor.
    "rcd": {
        "trip_pin": 13,
        "tripped_level": 1,  # with the pull-up a broken wire reads "tripped"
        "pull_up": True,
    },
    # MCP9700: 500 mV at 0 C, 10 mV for each degree.
    "temperature": {
        "adc_pin": 36,
        "adc_range_mv": 1750,
        # mV at the input, tenths of a degree C, in falling order of mV. Outside: sensor broken.
        "table_mv": (
            (1750, 1250),
            (100, -400),
        ),
    },
    # No card reader: the maker's is a one-wire one on pin 16, which Holdfast does not read, and he
    # uses every pin. Holdfast has no use for the display: with it taken off, its pins 5, 14, 25,
    # 26 and 33 are free. Nobody has tried this on that board. A PN532 of 3.3 V there would be:
    # "reader": {"kind": "pn532_uart", "uart": 2, "tx_pin": 26, "rx_pin": 33},
    # No meter: energy is estimated. An S0 meter on a free input would be:
    # "meter": {"pulse_pin": .., "pull_up": True},
}
