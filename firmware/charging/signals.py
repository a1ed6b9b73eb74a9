"""What crosses the border between the board and the charging room, and nothing else.

One object of each kind is made at start-up and used for ever, so that a tick allocates nothing.
"""

from micropython import const

# Readings.proximity_a besides a rating in amperes
PROXIMITY_NONE = const(0)
PROXIMITY_FAULT = const(-1)

# Readings.lock
LOCK_UNLOCKED = const(0)
LOCK_LOCKED = const(1)
LOCK_BETWEEN = const(2)

# Readings.temperature_dc of a board without a sensor, or with a broken one
NO_TEMPERATURE = const(-10000)

# Outputs.pilot
PILOT_STEADY = const(0)  # +12 V without PWM: "not ready", x1
PILOT_PWM = const(1)  # 1 kHz: "ready", x2
PILOT_F = const(2)  # -12 V: "not available"
PILOT_E = const(3)  # 0 V, line cut off; a board that cannot cut it gives PILOT_F instead

# Outputs.lock_drive
DRIVE_OFF = const(0)
DRIVE_LOCK = const(1)
DRIVE_UNLOCK = const(-1)

# Outputs.led
LED_OFF = const(0)
LED_READY = const(1)
LED_WAITING = const(2)
LED_CHARGING = const(3)
LED_FAULT = const(4)


class Readings:
    """What the board saw in this tick. The board fills it in, the controller only reads."""

    def __init__(self):
        self.pilot_high_mv = 0  # the pilot line itself: upper level of the PWM, or its steady level
        self.pilot_low_mv = 0  # its lower level; equals the upper one when there is no PWM
        self.proximity_a = PROXIMITY_NONE  # rating of the plugged cable
        self.lock = LOCK_UNLOCKED
        self.contactor_closed = False  # by feedback where there is one, else as commanded
        self.rcd_tripped = False
        self.temperature_dc = NO_TEMPERATURE  # tenths of a degree Celsius
        self.meter_wh = 0  # energy register; only differences matter
        self.current_ma = 0  # per phase, the highest of the phases
        self.power_w = 0
        self.meter_ok = True  # False: a meter is fitted, current should flow, and it says nothing
        self.meter_estimated = False  # True: no meter, energy is time x offered current


class Outputs:
    """What the board is to do from this tick on. The defaults are the safe ones."""

    def __init__(self):
        self.contactor = False
        self.pilot = PILOT_STEADY
        self.duty_permille = 1000  # with PILOT_PWM: share of the +12 V half
        self.lock_drive = DRIVE_OFF
        self.led = LED_OFF
        self.rcd_test = False  # drive the RCD's self-test input


class Capabilities:
    """What this board has. The board fills it in at start-up."""

    def __init__(self):
        self.has_lock = False
        self.has_lock_feedback = False
        self.lock_pulse_ms = 400
        self.has_proximity = False
        self.has_contactor_feedback = False
        self.has_rcd = False
        self.has_rcd_test = False
        self.has_meter = False
        self.has_temperature = False


class Permit:
    """What the access room says in every tick, see firmware/access/decision.py.

    `authorized`: a session may begin; `allowed`: it may draw current now.
    """

    def __init__(self, allowed=False, reason="NoPermit"):
        self.authorized = allowed
        self.allowed = allowed
        self.refused = False
        self.by = ""  # why the session was let begin: PermitOpen, PermitKey, ...
        self.reason = reason  # a code of firmware.reasons
        self.change_s = -1
