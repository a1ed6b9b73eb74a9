"""What a person can do to a charger from outside, as changes of the virtual board's world.

Promises: an action is checked as a whole before anything changes, and refused with a sentence
that names the field. It knows neither HTTP nor how the world works: the physics are in
`tools/virtual`.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from firmware.access import uid as card_number
from tools.virtual.process import LOCK_HOLDS, VirtualBoardError

Fields = Mapping[str, Any]

CABLES_A = (13, 20, 32, 63)  # the ratings that IEC 61851-1 codes by a resistor
NO_RESISTOR = 0  # a plug without the coding resistor, as a fixed cable has
SHORTED = -1  # a damaged plug
AWAY = "A"  # the plug is out of the car, the cable still in the charger's socket
CAR_STATES = (AWAY, "B", "C", "D")
MOST_DRAW_A = 80  # the most that the control pilot can offer
COLDEST_C, HOTTEST_C = -40, 120
NORMAL_DC = 250
CARD_LIES_S = 1.0  # how long a tap holds the card to the reader
OVERTEMP_DC = 750  # beyond the 71 degrees at which charging stops

# fault -> (field of the world, value with the fault, value without)
FAULTS: dict[str, tuple[str, Any, Any]] = {
    "rcd": ("rcd_tripped", True, False),
    "welded": ("welded", True, False),
    "lock_jammed": ("jammed", True, False),
    "diode": ("diode", False, True),
    "pilot_short": ("pilot_short", True, False),
    "overtemp": ("temperature_dc", OVERTEMP_DC, NORMAL_DC),
    "meter": ("meter_silent", True, False),
    "contactor_stuck": ("contactor_stuck_open", True, False),
    "lock_feedback": ("lock_feedback_broken", True, False),
    "rcd_test": ("rcd_self_test_ok", False, True),
    "reader": ("reader_fault", "hangs", ""),
}

# What GET /hardware passes on as the virtual board measures it.
_SHOWN = (
    "contactor",
    "lock",
    "duty_permille",
    "pilot_high_mv",
    "pilot_low_mv",
    "current_ma",
    "energy_wh",
    "powered",
    "plugged",
    "outputs",
    "resets",
)


class Refused(Exception):
    """An action that cannot be done; `status` is HTTP's 400 (bad input) or 409 (not now)."""

    def __init__(self, sentence: str, status: int = 400):
        super().__init__(sentence)
        self.status = status


class Surroundings:
    """The car, the cable, the mains and the network around one virtual board.

    `board` is a tools.virtual.process.VirtualBoard. Every action takes the fields of a JSON
    object, raises Refused and then has changed nothing. It may be called from any thread. `link`
    is the charger's way to the cloud, a tools.bench.link.Link, or None.
    """

    def __init__(self, board: Any, link: Any = None):
        self._board = board
        self._link = link
        # Check and change belong together: two requests must not both find the socket empty.
        self._one_at_a_time = threading.Lock()
        self._card_leaves: threading.Timer | None = None
        self.actions: dict[str, Callable[[Fields], dict[str, Any] | None]] = {
            "plug": self.plug,
            "unplug": self.unplug,
            "car": self.car,
            "tap": self.tap,
            "fault": self.fault,
            "temperature": self.temperature,
            "power": self.power,
            "network": self.network,
        }

    def act(self, name: str, fields: Fields) -> dict[str, Any]:
        """Do the action `name` and answer with the hardware as it is then, and what it adds."""
        with self._one_at_a_time:
            added = self.actions[name](fields)
        return {**self.hardware(), **(added or {})}

    def plug(self, fields: Fields) -> None:
        """Connect charger and car. `cable_a`: 13, 20, 32, 63; 0 no coding resistor; -1 shorted."""
        _know(fields, "cable_a")
        cable_a = _one_of(fields, "cable_a", (*CABLES_A, NO_RESISTOR, SHORTED))
        if self._board.world["plugged"]:
            raise Refused("A cable is plugged in already: unplug it first.", 409)
        self._board.set_world(plugged=True, car_connected=True, cable_a=cable_a)

    def unplug(self, fields: Fields) -> None:
        """Pull the plug out of the socket, which the lock may refuse; the car then waits in B."""
        _know(fields)
        if not self._board.world["plugged"]:
            raise Refused("No cable is plugged in.", 409)
        try:
            self._board.set_world(plugged=False, car_connected=True, car_state="B")
        except VirtualBoardError:
            if self._board.world["lock_permille"] <= LOCK_HOLDS:
                raise
            raise Refused(
                "The lock holds the plug in the charger's socket. The charger lets go of it when "
                "the plug is out of the car, or when it is told to.",
                409,
            ) from None

    def car(self, fields: Fields) -> None:
        """What the car wants; a field that is left out stays as it is.

        `state`: B (S2 open), C (charge), D (charge with ventilation), or A: pull the plug out of
        the car and leave the cable in the charger; B, C and D put it back. `draw_a`: the most the
        car takes per phase, 0 to 80, whole milliamperes count. `phases`: 1 or 3. `asleep`: it
        ignores the PWM until it is woken. `ignores_duty`: it draws `draw_a` whatever is offered.
        """
        _know(fields, "state", "draw_a", "phases", "asleep", "ignores_duty")
        if not fields:
            raise Refused("Say what the car does: state, draw_a, phases, asleep or ignores_duty.")
        change: dict[str, Any] = {}
        if "state" in fields:
            state = _one_of(fields, "state", CAR_STATES)
            if state == AWAY and not self._board.world["plugged"]:
                raise Refused("No cable is plugged in.", 409)
            change["car_connected"] = state != AWAY
            change["car_state"] = "B" if state == AWAY else state
        if "draw_a" in fields:
            change["draw_ma"] = round(_number(fields, "draw_a", 0, MOST_DRAW_A) * 1000)
        if "phases" in fields:
            change["phases"] = _one_of(fields, "phases", (1, 3))
        for name in ("asleep", "ignores_duty"):
            if name in fields:
                change[name] = _flag(fields, name)
        self._board.set_world(**change)

    def tap(self, fields: Fields) -> dict[str, Any]:
        """Hold the card with the number `uid` to the reader for a second, then take it away.

        `uid`: 4, 7 or 10 bytes in hexadecimal. A card that still lies there makes room. The same
        card is a new tap when it was away for about a second.
        """
        _know(fields, "uid")
        try:
            uid = card_number.shown(card_number.parse(fields.get("uid")))
        except card_number.BadKey as error:
            raise Refused(f"{error}.") from None
        if "reader" not in self._board.board:
            raise Refused("No card reader is fitted to this charger.", 409)
        if not self._board.powered:
            raise Refused("The charger has no power.", 409)
        if self._card_leaves:
            self._card_leaves.cancel()
        self._board.set_world(card=uid)
        leaves = threading.Timer(CARD_LIES_S, self._take_card_away)
        leaves.daemon = True
        self._card_leaves = leaves
        leaves.start()
        return {"uid": uid}

    def _take_card_away(self) -> None:
        with self._one_at_a_time:
            # Not if another tap has come between this timer's end and the lock.
            if threading.current_thread() is self._card_leaves:
                self._card_leaves = None
                self._board.set_world(card="")

    def fault(self, fields: Fields) -> None:
        """`name`: one of FAULTS; `on`: whether it is there from now on."""
        _know(fields, "name", "on")
        world_field, with_fault, without = FAULTS[_one_of(fields, "name", tuple(FAULTS))]
        on = _flag(fields, "on")
        self._board.set_world(**{world_field: with_fault if on else without})

    def temperature(self, fields: Fields) -> None:
        """`temperature_c`: the sensor's temperature in degrees Celsius, -40 to 120."""
        _know(fields, "temperature_c")
        degrees = _number(fields, "temperature_c", COLDEST_C, HOTTEST_C)
        self._board.set_world(temperature_dc=round(degrees * 10))

    def power(self, fields: Fields) -> None:
        """`on`: false cuts the supply at this instant, true gives it back."""
        _know(fields, "on")
        on = _flag(fields, "on")
        if on and not self._board.powered:
            self._board.power_on()
        elif not on and self._board.powered:
            self._board.power_off()

    def network(self, fields: Fields) -> None:
        """`wifi`, `cloud`: whether they can be reached; one that is left out stays as it is."""
        _know(fields, "wifi", "cloud")
        if not fields:
            raise Refused("Say which network: wifi, cloud or both.")
        self._board.set_world(**{name: _flag(fields, name) for name in fields})
        if self._link:
            world = self._board.world
            self._link.set(world["wifi"], world["cloud"])

    def hardware(self) -> dict[str, Any]:
        """The contract's view of the hardware now, and what the page shows besides."""
        seen = self._board.hardware()
        return {
            **{name: seen[name] for name in _SHOWN},
            "cable_a": seen["cable_a"] if seen["plugged"] else None,
            "car": {
                "state": seen["car_state"] if seen["car_connected"] else AWAY,
                "draw_a": seen["draw_ma"] / 1000,
                "phases": seen["phases"],
                "asleep": seen["asleep"],
                "ignores_duty": seen["ignores_duty"],
            },
            "faults": {name: _has(seen, name) for name in FAULTS},
            "network": {"wifi": seen["wifi"], "cloud": seen["cloud"]},
            "temperature_c": seen["temperature_dc"] / 10,
            "card": seen["card"] or None,
        }


def _has(seen: Fields, fault: str) -> bool:
    world_field, with_fault, _ = FAULTS[fault]
    value = seen[world_field]
    return value >= with_fault if fault == "overtemp" else value == with_fault


def _know(fields: Fields, *names: str) -> None:
    # A misspelt field would otherwise look as if it had been obeyed.
    for name in fields:
        if name not in names:
            known = ", ".join(names) or "none"
            raise Refused(f"{name} is not a field of this action; it knows: {known}.")


def _one_of(fields: Fields, name: str, allowed: tuple[Any, ...]) -> Any:
    value = fields.get(name)
    # True equals 1 in Python, 13.0 equals 13: the type has to fit as well.
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        raise Refused(f"{name} must be one of {', '.join(map(str, allowed))}.")
    return value


def _flag(fields: Fields, name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        raise Refused(f"{name} must be true or false.")
    return value


def _number(fields: Fields, name: str, lowest: int, highest: int) -> float:
    value = fields.get(name)
    # Said this way round, the comparison refuses NaN too.
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and lowest <= value <= highest
    ):
        return value
    raise Refused(f"{name} must be a number from {lowest} to {highest}.")
