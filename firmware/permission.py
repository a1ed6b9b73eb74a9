"""The tie between access and charging: what one room asks of the other, once in every tick."""

from firmware.access.decision import FINISHED, NO_CAR, PLUGGED, RUNNING, STARTING
from firmware.charging.pilot import UNKNOWN


def stage_of(controller):
    """Where the charging room stands, in the access room's words."""
    if controller.session.active:
        return RUNNING
    if controller.pilot.letter == UNKNOWN:
        return STARTING
    if not controller.connected:
        return NO_CAR
    return FINISHED if controller.finished else PLUGGED


def ask(access, controller, dt_ms, permit):
    """Fill in `permit` for the controller's next step, and hand on what a tap asked for.

    Allocates nothing in steady state.
    """
    access.step(stage_of(controller), dt_ms, permit)
    controller.limits.lease_ma = access.limit_ma
    if access.stop_asked:
        controller.request_stop(access.stop_asked)
        access.stop_asked = ""
    if access.unlock_asked:
        controller.request_unlock()
        access.unlock_asked = False
    if access.start_asked:
        controller.request_start()
        access.start_asked = False


def settle(access, controller):
    """After the controller's step: a session began with the key of this very tick, no later one."""
    stage = stage_of(controller)
    if stage != access.session:
        access.follow(stage)
