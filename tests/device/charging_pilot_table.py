"""Every pair of (pilot state, reading): what the contactor does at once, what follows after 4 s."""

from charging_plant import LEVELS_MV, Plant

from firmware.charging import pilot

# IEC 61851-1 / SAE J1772: (letter, from mV, to mV) of the upper level
WINDOWS = (
    (pilot.A, 11400, 12600),
    (pilot.B, 8360, 9560),
    (pilot.C, 5480, 6490),
    (pilot.D, 2620, 3250),
    (pilot.E, -1000, 1000),
    (pilot.F, -12600, -11400),
)

# Columns: the reading's letter, in lower case when the car's diode is missing.
# Cell: C = contactor closed after this tick, o = open; then the pilot state 4 s later.
READINGS = "A B C D E F b c d".split()
TABLE = """
state A   B    C    D    E   F   b    c    d
A     oA  oB2  oC2  oD2  oE  oF  oB1  oC1  oD1
B1    oA  oB1  oC1  oD1  oE  oF  oB1  oC1  oD1
B2    oA  oB2  oC2  oD2  oE  oF  oB1  oC1  oD1
C1    oA  oB1  oC1  oD1  oE  oF  oB1  oC1  oD1
C2    oA  oB2  CC2  CD2  oE  oF  oB1  CC1  CD1
D1    oA  oB1  oC1  oD1  oE  oF  oB1  oC1  oD1
D2    oA  oB2  CC2  CD2  oE  oF  oB1  CC1  CD1
E     oA  oB2  oC2  oD2  oE  oF  oB1  oC1  oD1
F     oF  oF   oF   oF   oF  oF  oF   oF   oF
"""


def letters():
    """Each level against each remembered letter: right inside the windows, near outside them."""
    for current in range(pilot.UNKNOWN, pilot.F + 1):
        last = pilot.A
        for high_mv in range(13000, -13001, -10):
            letter = pilot.letter_of(high_mv, current)
            assert letter >= last, "not in order at %d mV from %s" % (high_mv, current)
            last = letter
            for expected, low_mv, top_mv in WINDOWS:
                if low_mv <= high_mv <= top_mv:
                    assert letter == expected, (current, high_mv, letter)
    # At the border itself, the remembered letter is kept.
    for upper, border_mv in ((pilot.A, 10500), (pilot.B, 7500), (pilot.C, 4400), (pilot.D, 1500)):
        for offset_mv in range(-290, 300, 10):
            for current in (upper, upper + 1):
                assert pilot.letter_of(border_mv + offset_mv, current) == current


def pairs():
    rows = [line.split() for line in TABLE.strip().split("\n")]
    assert rows[0][1:] == READINGS
    tried = 0
    for row in rows[1:]:
        for reading, cell in zip(READINGS, row[1:]):
            plant = Plant(ventilation=True, wake_mode="off").to(row[0])
            plant.diode = reading.isupper()
            if reading == "F":
                plant.high_mv = LEVELS_MV["F"]
            else:
                plant.car = reading.upper()
            plant.tick()
            now = "C" if plant.outputs.contactor else "o"
            plant.run(4000)
            got = now + plant.controller.pilot_name
            assert got == cell, "in %s reading %s: %s, not %s" % (row[0], reading, got, cell)
            tried += 1
    print(tried, "pairs")


letters()
pairs()
