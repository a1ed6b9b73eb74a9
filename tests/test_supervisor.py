"""The supervisor and the clock, under both interpreters."""


def test_supervisor(interpreter):
    done = interpreter.run("supervisor_check.py")
    assert done.stderr.endswith("ok\n")


def test_clock(interpreter):
    interpreter.run("clock_check.py")
