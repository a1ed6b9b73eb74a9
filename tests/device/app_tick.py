"""The whole tick, from the virtual board's pins to its pins, in virtual time: no byte allocated.

Argument: "count" to count allocations in every state, on the board interpreter.
"""

import gc
import sys

import machine
import world
from journal_flash import Nor

from firmware import build, clock, configure, ticks
from firmware.board import chip
from firmware.board.load import load_board
from firmware.board.smartevse_v3 import BOARD
from firmware.settings import Settings

counting = "count" in sys.argv
machine.wire(BOARD)
chip.journal_partition = lambda: Nor(4096, 8)
settings = Settings()
settings.set_many({"board": "smartevse_v3", "installation_limit_a": 20})
charger = build.rooms(settings, clock.Clock(1, world.ms))
build.fit(charger, load_board(settings.board, settings))
now = world.ms


def run(n):
    """`n` ticks of 16 ms."""
    global now
    for _ in range(n):
        now = ticks.add(now, 16)
        world.advance_to(now)
        charger.tick(now)


def steady(state, reason=None):
    """Run until `state` is reached, then prove that 200 ticks in it allocate nothing."""
    for _ in range(4000):
        if charger.controller.state == state and reason in (None, charger.controller.reason):
            break
        run(1)
    else:
        raise AssertionError((state, charger.controller.state, charger.controller.reason))
    run(200)  # queues, filters and the first of everything have settled
    assert charger.controller.state == state, (state, charger.controller.state)
    if not counting:
        return
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    run(200)
    after = gc.mem_alloc()
    gc.enable()
    assert after == before, (state, after - before)


steady("Available")
world.set(plugged=True, cable_a=32, car_state="B")
steady("SuspendedEV")
world.set(car_state="C", draw_ma=32000)
steady("Charging")
assert world.contactor_closed and world.duty_permille == 333 and 19900 <= world.current_ma <= 20000
assert charger.contactor_closed()
closed_since = charger.controller.session.energy_wh

# nobody ticks for 200 ms: the board opens by itself, the controller learns it and starts again
charger.board.arm_dead_man(100)
world.advance_by(200)
assert not world.contactor_closed
now = world.ms
run(1)
assert charger.dead_man_count == 1 and not charger.contactor_closed()
steady("Charging")
assert world.contactor_closed and charger.dead_man_count == 1
assert charger.controller.session.energy_wh > closed_since

# a changed limit comes into force without a restart
settings.set_many({"installation_limit_a": 10})
configure.configure(charger)
run(400)
assert world.duty_permille in (166, 167), world.duty_permille
assert not charger.save() and settings.unsaved, "flash was written with the contactor closed"

charger.hold("Console")
steady("SuspendedEVSE", "Console")
assert not world.contactor_closed
charger.release()
steady("Charging")
world.set(rcd_tripped=True)
steady("Faulted", "Rcd")
world.set(rcd_tripped=False, car_state="B", plugged=True)
charger.controller.request_unlock()
run(200)
world.set(plugged=False)
steady("Available")
charger.make_safe()
assert charger.take_longest_gap_ms() >= 200 and charger.take_longest_gap_ms() == 0
print("ok")
