# The two commands are `make demo` and `make test`; each makes .venv itself and is quick when it exists.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_SECONDS ?= 20

# Hundreds of processes start in a run: each module is compiled to bytecode once, also where that is switched off.
export PYTHONDONTWRITEBYTECODE :=

# The traffic path compiled (see setup.py), beside the sources: tests and benchmark run on it, editing needs no rebuild.
COMPILED := build/compiled
TRAFFIC_TESTS := tests/core tests/wire tests/dataplane tests/test_raw_cases.py
PYTEST = $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder
# On a machine that many share a clock may run out beside other tests. What failed runs once more, alone, and is named.
ALONE = [ $$? -eq 1 ] && echo "once more, alone:" && $(BIN)/python -m pytest --last-failed --last-failed-no-failures none
ON_COMPILED := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(COMPILED):$(CURDIR)

.PHONY: compiled demo test interpreted lint bench chaos outage fuzz run clean

$(VENV)/.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Banyan needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --quiet --disable-pip-version-check install --editable '.[test,lint,compile]'
	@touch $@

demo: $(VENV)/.stamp
	@DEMO_SECONDS=$(DEMO_SECONDS) $(BIN)/python -m legacy_stub.demo

test: $(VENV)/.stamp
	@tests/install-servers.sh
ifeq ($(ARGS),)
	@$(MAKE) --no-print-directory -j 2 interpreted $(COMPILED)/.stamp
	@[ ! -d $(COMPILED)/proxy ] || { export $(ON_COMPILED); $(PYTEST) $(TRAFFIC_TESTS) || { $(ALONE) $(TRAFFIC_TESTS); }; }
else
	$(PYTEST) $(ARGS)
endif

interpreted: $(VENV)/.stamp
	$(PYTEST) || { $(ALONE); }

lint: $(VENV)/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

compiled: $(COMPILED)/.stamp

$(COMPILED)/.stamp: $(VENV)/.stamp setup.py $(wildcard proxy/*.py proxy/*/*.py)
	@tests/compile.sh $(BIN) $(COMPILED)

bench: $(COMPILED)/.stamp
	@$(ON_COMPILED) $(BIN)/python -m tests.bench $(ARGS)

# CHAOS_SECONDS=600 for a long run, CHAOS_SEED=… for the plan of an earlier one.
chaos: $(VENV)/.stamp
	@$(BIN)/python -m tests.chaos $(ARGS)

outage: $(VENV)/.stamp
	@$(BIN)/python -m tests.chaos.outage $(ARGS)

# FUZZ_SECONDS=3600 for a long run, FUZZ_SEED=… for the cases of an earlier one.
fuzz: $(VENV)/.stamp
	@$(BIN)/python -m tests.fuzz $(ARGS)

run: $(VENV)/.stamp
	@$(BIN)/banyan run routes

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis var
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
