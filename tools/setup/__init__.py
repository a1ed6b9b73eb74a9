"""Brings a fresh clone to the point where `make run` and `make test` work.

`python3 -m tools.setup` fills `.venv/` (Python packages), `lib/` (third-party packages for the
device) and `build/bin/` (the two MicroPython interpreters), and asks apt for the few things that
need root. It runs with the system's Python and the standard library alone. A second run finds
everything in place and returns at once; every failure is one sentence and a non-zero exit.
It installs nothing outside the project's folder except, where it may, Debian packages.
"""
