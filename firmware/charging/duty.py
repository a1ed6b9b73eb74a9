"""Duty of the pilot's PWM and the current it offers (IEC 61851-1)."""

from micropython import const

LEAST_MA = const(6000)  # below this there is no code: the charger pauses instead
MOST_MA = const(80000)


def permille_of(limit_ma):
    """The duty that offers at most `limit_ma` (6,000 mA and up), in permille, rounded down.

    Up to 51 A a percent is 0.6 A, from 52.5 A it is 2.5 A; between them there is no code, and 51 A
    is offered. More than 80 A offers 80 A.
    """
    if limit_ma < 52500:
        return min(limit_ma // 60, 850)
    return min(limit_ma // 250 + 640, 960)


def offered_ma(duty_permille):
    """What a car may draw at this duty, in mA; 0 where the duty offers nothing (below 10 %)."""
    if duty_permille < 100 or duty_permille > 970:
        return 0
    if duty_permille <= 850:
        return duty_permille * 60
    return min((duty_permille - 640) * 250, MOST_MA)
