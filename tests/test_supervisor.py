"""The supervisor, under both interpreters."""


def test_supervisor(interpreter):
    done = interpreter.run("supervisor_check.py")
    assert done.stderr.endswith("ok\n")
