"""Holdfast: firmware of an AC charger for electric vehicles. `firmware.app` puts it together."""
