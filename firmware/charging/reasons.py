"""Why the charger does what it does: a stable code for programs, a sentence for people.

The codes are part of the contract: other programs compare them. Sentences are in English here;
the page translates by code.
"""

_SENTENCES = {
    "Starting": "The charger is starting.",
    "NoCar": "No car is connected.",
    "Locking": "The cable is being locked.",
    "Testing": "The residual current device is being tested.",
    "Offering": "Charging is about to start.",
    "Charging": "The car is charging.",
    "WaitsForCar": "Power is offered; the car has not asked for it yet.",
    "CarPaused": "The car has stopped asking for energy: it may be full, or wait for a timer.",
    "Waking": "The car seems to sleep; the charger is waking it.",
    "Stopping": "Charging is being stopped.",
    "Stopped": "Charging has ended. Unplug the cable, or press start to charge again.",
    "NoPermit": "Charging is not permitted.",
    "Console": "Charging waits: somebody works at the serial console.",
    "OutOfService": "The charger is out of service.",
    "NeedsVentilation": "The car asks for a ventilated room, and this one is not.",
    "LimitInstallation": "Paused: the installation's limit is below 6 A.",
    "LimitCable": "Paused: the cable carries less than 6 A, or it has not been recognised yet.",
    "LimitTemperature": "Paused: the charger is too hot and is cooling down.",
    "LimitSchedule": "Paused by the schedule.",
    "LimitLease": "Paused by outside control; charging goes on when that ends.",
    "Rcd": "The residual current device has tripped. Unplug, and have car and cable checked.",
    "RcdTest": "The residual current device failed its self-test.",
    "Welded": "The contactor did not open. Do not touch the plug; switch the supply off.",
    "NotClosed": "The contactor did not close.",
    "LockFailed": "The cable could not be locked. Push the plug in fully.",
    "UnlockFailed": "The lock is jammed. Push the plug in while the charger tries again.",
    "Diode": "The car's pilot diode is missing. Another cable may help.",
    "PilotShort": "The pilot line is shorted. Unplug the cable and look at its contacts.",
    "Overtemperature": "The charger is too hot and is cooling down.",
    "Overcurrent": "The car drew more than it was offered.",
    "MeterSilent": "The meter gives no reading; the energy is estimated.",
    "Proximity": "The cable is not recognised. Unplug it and plug it in again.",
}


def sentence(code):
    """The sentence of a code; a code without one stands for itself."""
    return _SENTENCES.get(code, code)
