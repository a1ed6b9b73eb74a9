"""Settings: every bad value, every damage and every power cut, under both interpreters."""

import json

from firmware import settings, settings_file


def test_bad_values_and_damaged_files(interpreter, tmp_path):
    interpreter.run("settings_check.py", tmp_path)


def test_power_cut_at_every_flash_operation(interpreter):
    # A flash of 128 KB lies in its heap, several times over.
    done = interpreter.run("settings_power_cut.py", heap="4M")
    assert int(done.stdout.split()[1]) >= 10, "the sweep met hardly any flash operation"


def test_without_memory_all_of_a_change_or_none(interpreter):
    done = interpreter.run("settings_memory.py", heap="256K")
    print(interpreter.name, done.stdout)


def test_host_tools_write_the_same_file(tmp_path):
    (tmp_path / "settings.json").write_bytes(
        settings_file.encode({"board": "esp32_devkit", "phases": 1})
    )
    loaded = settings.Settings(str(tmp_path))
    loaded.load()
    assert (loaded.notice, loaded.board, loaded.phases) == (None, "esp32_devkit", 1)
    json.dumps(list(loaded.describe()))
