# Two commands for a new user: `make demo` and `make test`. Both need python3 >= 3.11 with venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test lint typing bench bench-many clean

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("aioconnect needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.package: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.group-%: $(VENV)/.package pyproject.toml
	$(BIN)/python -m pip install --quiet --group $*
	touch $@

demo: $(VENV)/.package
	$(BIN)/python -m aioconnect demo

test: $(VENV)/.group-test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.group-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(BIN)/python -m tests.registries

typing: $(VENV)/.group-typing
	$(BIN)/mypy
	$(BIN)/pyright

bench: $(VENV)/.group-bench
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-many: $(VENV)/.group-bench
	$(BIN)/python -m benchmarks.many $(BENCH_ARGS)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
