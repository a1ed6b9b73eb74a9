"""The service console against a stand-in for aiorepl, under both interpreters."""

from conftest import DEVICE_SCRIPTS


def test_console(interpreter):
    interpreter.run("console_check.py", path=[DEVICE_SCRIPTS / "stand_in"])
