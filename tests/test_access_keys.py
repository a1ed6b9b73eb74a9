"""The list of keys: bad input, damage, power cuts and what a lookup costs."""

import pytest


def test_bad_input_changes_and_damage(interpreter, tmp_path):
    interpreter.run("access_key_check.py", tmp_path)


def test_thousand_keys_in_the_heap_of_a_board(interpreter, tmp_path):
    done = interpreter.run("access_key_cost.py", tmp_path / "flash", "rows", heap="110K")
    cost = {name: int(value) for name, value in map(str.split, done.stdout.splitlines())}
    print(done.stdout)
    assert cost["hit_allocated"] == cost["miss_allocated"] == 0
    # eleven rows of 64 bytes, which LittleFS reads 128 at a time, and the pointers to them
    assert cost["hit_most_bytes"] < 4096 and cost["miss_most_bytes"] < 4096
    assert cost["ram_list"] < 1024 and cost["ram_replacing"] < 16 * 1024


def test_flipped_bits_let_nobody_in(interpreter):
    done = interpreter.run("access_key_flips.py", 7, heap="8M")
    print(done.stdout)


@pytest.mark.parametrize("count", [60, 1000])
def test_power_cut_leaves_the_old_list_or_the_new_one(interpreter, count):
    done = interpreter.run("access_key_power_cut.py", count, heap="16M")
    print(done.stdout)
    assert int(done.stdout.split()[1]) > 1000, "the sweep met hardly any flash operation"


@pytest.mark.soak
def test_a_flipped_bit_in_every_byte_of_the_flash(interpreter):
    print(interpreter.run("access_key_flips.py", 1, heap="8M", timeout=600).stdout)
