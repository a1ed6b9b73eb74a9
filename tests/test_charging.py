"""The charging room by itself: pure logic in virtual time, under both interpreters."""


def test_every_pair_of_state_and_reading(interpreter):
    assert "81 pairs" in interpreter.run("charging_pilot_table.py").stdout


def test_sequences_of_the_standard(interpreter):
    assert " sequences" in interpreter.run("charging_sequences.py").stdout
