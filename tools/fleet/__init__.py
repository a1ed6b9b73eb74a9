"""Simulation of a fleet that comes back to its cloud, with the firmware's own rules.

The rules come from firmware/uplink/backoff.py as they are; around them stand a model of the cloud
(cloud.py), of the other makes' rules (clients.py), of what happens (scenarios.py) and of the clock
(fleet.py). `python -m tools.fleet` runs all of it; docs/fleet.md says what came out.
"""
