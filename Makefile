# Holdfast: every command that a person or the CI needs. `make` alone lists them.
# Each target first brings the set-up up to date, which takes a moment when there is nothing to do.

.DEFAULT_GOAL := help
.PHONY: help setup ready run test check format flash bench soak clean

# The first Python that is new enough; `make PYTHON=...` chooses another.
ifndef PYTHON
PYTHON := $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
endif
VENV_PYTHON := .venv/bin/python
# More arguments for the program behind a target: make test ARGS='-k lock -x'
ARGS ?=

# make flash takes these; they are handed on only when given.
PORT ?=
ID ?=
BOARD ?=
FORCE ?=

help:
	@echo 'make run               a charger, a car and a cloud on this machine; Ctrl-C stops all'
	@echo 'make test              the whole test suite under both interpreters   [ARGS=...]'
	@echo 'make check             format, lint and types'
	@echo 'make format            put the format right, and what lint can mend itself'
	@echo 'make flash PORT=...    onto a real or a virtual board   [ID=... BOARD=... FORCE=1]'
	@echo 'make bench             the benchmarks as a table, also in build/bench.json'
	@echo 'make soak              the long sweeps   [ARGS=...]'
	@echo 'make setup             only fetch and build what the others need   [RETRY=1]'
	@echo 'make clean             remove .venv, build and lib'

setup: export SAY_READY = 1
setup ready:
	@test -n '$(PYTHON)' || { echo 'set-up failed: no Python 3.11 or newer was found' >&2; exit 1; }
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m tools.setup

run: ready
	@exec $(VENV_PYTHON) -m tools.bench $(ARGS)

test: ready
	$(VENV_PYTHON) -m pytest $(ARGS)

soak: ready
	$(VENV_PYTHON) -m pytest -m soak -n 0 --timeout 0 -s $(ARGS)

# The firmware and the tools are checked apart: the first against the ESP32's modules and
# MicroPython's own standard library, the second against CPython's.
check: ready
	@failed=0; \
	$(VENV_PYTHON) -m ruff format --check . || failed=1; \
	$(VENV_PYTHON) -m ruff check . || failed=1; \
	$(VENV_PYTHON) -m tools.setup.type_check || failed=1; \
	exit $$failed

format: ready
	$(VENV_PYTHON) -m ruff format .
	$(VENV_PYTHON) -m ruff check --fix .

flash: ready
	@test -n '$(PORT)' || { echo 'make flash needs the port: make flash PORT=/dev/ttyUSB0' >&2; exit 2; }
	@exec $(VENV_PYTHON) -m tools.flash '$(PORT)' $(if $(ID),--id '$(ID)') \
		$(if $(BOARD),--board '$(BOARD)') $(if $(filter-out 0,$(FORCE)),--force) $(ARGS)

bench: ready
	@exec $(VENV_PYTHON) -m tools.benchmarks $(ARGS)

clean:
	rm -rf .venv build lib
