# Two commands for a new user: `make demo` and `make test`. Both need python3 >= 3.11 with venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# One worker more than there are cores, since tests also wait; `PYTEST_ARGS=-n0` for none, to debug.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1)
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 9 --dist worksteal

.DEFAULT_GOAL = help
.PHONY: help demo test test-clients quick sweep lint typing bench bench-many clean python-is-that-of-the-venv

help: ## what there is to make (this list)
	@echo "make TARGET [PYTHON=python3.12] [VENV=.venv-3.12] [PYTEST_ARGS='-k name']"
	@sed -n 's/^\([a-z-]*\):.*## /  \1	/p' Makefile

# A virtual environment counts once it has its stamp: one that stopped half-way (Debian without
# python3-venv leaves one without pip behind) is made anew, one that works is taken as it is.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("aioconnect needs Python 3.11 or newer")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

$(VENV)/.package: $(VENV)/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.group-%: $(VENV)/.package pyproject.toml
	$(BIN)/python -m pip install --quiet --group $*
	@touch $@

# Only where PYTHON was asked for: plain `make test` goes on with the environment that is there.
VERSION = import sys; print(*sys.version_info[:2], sep=".")
python-is-that-of-the-venv: $(VENV)/.made
ifneq ($(origin PYTHON), file)
	@made=$$($(BIN)/python -c '$(VERSION)') && asked=$$($(PYTHON) -c '$(VERSION)') || exit 1; \
	[ "$$made" = "$$asked" ] || { echo "$(VENV) was made with Python $$made, and $(PYTHON) is $$asked:" \
	"make clean first, or give another VENV=.venv-$$asked" >&2; exit 1; }
endif

demo: python-is-that-of-the-venv $(VENV)/.package ## the main job, against servers on loopback
	$(BIN)/python -m aioconnect demo

test: python-is-that-of-the-venv $(VENV)/.group-test ## the test suite, about five minutes
	$(PYTEST) $(PYTEST_ARGS)

test-clients: python-is-that-of-the-venv $(VENV)/.group-clients ## unmodified clients against real servers, as root, under a minute
	AIOCONNECT_CLIENTS=1 $(PYTEST) tests/clients $(PYTEST_ARGS)

quick: python-is-that-of-the-venv $(VENV)/.group-test ## each quick test with a few of its rows, under a minute
	$(PYTEST) --quick $(PYTEST_ARGS)

sweep: python-is-that-of-the-venv $(VENV)/.group-test ## the long sweeps, whole, about ten minutes
	AIOCONNECT_SWEEP=1 $(PYTEST) -m sweep $(PYTEST_ARGS)

lint: python-is-that-of-the-venv $(VENV)/.group-lint ## ruff: rules, format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(BIN)/python -m tests.registries

typing: python-is-that-of-the-venv $(VENV)/.group-typing ## mypy and pyright
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: python-is-that-of-the-venv $(VENV)/.group-bench ## measure, and write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-many: python-is-that-of-the-venv $(VENV)/.group-bench ## measure, and write benchmarks/MANY.md
	$(BIN)/python -m benchmarks.many $(BENCH_ARGS)

clean: ## everything that was made here
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
