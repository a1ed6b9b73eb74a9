"""Voltages at the chip's analog inputs, and the tables that turn them into what they mean."""

import machine

# Where the ESP32's ADC is at its best (Espressif's data sheet), for each attenuation it has.
ADC_RANGES_MV = (950, 1250, 1750, 3100)


def open_input(part):
    """The ADC of a part of the description, with the range that the part asks for."""
    adc = machine.ADC
    attenuations = (adc.ATTN_0DB, adc.ATTN_2_5DB, adc.ATTN_6DB, adc.ATTN_11DB)
    attenuation = attenuations[ADC_RANGES_MV.index(part["adc_range_mv"])]
    return adc(machine.Pin(part["adc_pin"]), atten=attenuation)


def along(curve, mv):
    """The value at `mv` on a curve of (mV, value) rows in falling order; clamped at both ends."""
    upper = curve[0]
    if mv >= upper[0]:
        return upper[1]
    for lower in curve:
        if mv >= lower[0]:
            return lower[1] + (mv - lower[0]) * (upper[1] - lower[1]) // (upper[0] - lower[0])
        upper = lower
    return upper[1]
