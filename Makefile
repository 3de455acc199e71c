# Everything a contributor runs. A bare checkout needs only Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := jobs prompts providers speech workers gateway ringback
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python

.PHONY: up test chaos lint bench lock clean

up: $(VENV)/.run
	$(BIN)/ringback up $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A long storm; CHAOS_SEED=… repeats one.
chaos: export CHAOS_SEED ?= random
chaos: export CHAOS_JOBS ?= 1000
chaos: export CHAOS_FAULTS ?= 36
chaos: export CHAOS_LEASE_S ?= 30
chaos: export CHAOS_PAUSE_S ?= 4
chaos: export CHAOS_WORKERS ?= 3
chaos: $(VENV)/.dev
	$(BIN)/python -m pytest -s tests/chaos $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

# Names, versions and hashes only: no lock file may hold a download address.
lock: $(VENV)/.bootstrap
	$(BIN)/uv pip compile $(LOCK) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group dev -c requirements/run.txt -o requirements/dev.txt
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

clean:
	rm -rf $(VENV) .ringback

$(VENV)/.bootstrap: requirements/bootstrap.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/.run: $(VENV)/.bootstrap requirements/run.txt pyproject.toml
	$(INSTALL) --compile-bytecode --require-hashes -r requirements/run.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@
