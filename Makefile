# Everything a contributor runs. A bare checkout needs only Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
LITELLM := .venv-litellm
VOICE := .venv-voice
BIN := $(VENV)/bin
PACKAGES := jobs amazon prompts providers speech conversations workers gateway ringback
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
# Of a test run. More are faster, but some tests wait only so long for what they start.
PROCESSES ?= 2

.PHONY: up test chaos lint bench eval-memory bench-litellm bench-voice lock clean

up: $(VENV)/.run
	$(BIN)/ringback up $(ARGS)

test: $(VENV)/.dev
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal $(ARGS)

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

# What a conversation's memory still knows after many refinements; ARGS="--model provider/model" asks a real one.
eval-memory: $(VENV)/.dev
	$(BIN)/python -m benchmarks.recall $(ARGS)

# Beside LiteLLM's proxy, which gets an environment of its own.
bench-litellm: $(VENV)/.dev $(LITELLM)/.installed
	$(BIN)/python -m benchmarks.litellm $(ARGS)

# Turns by voice, beside pipecat, which gets an environment of its own; `python -m benchmarks.voice --no-pipecat` needs none.
bench-voice: $(VENV)/.dev $(VOICE)/.installed
	$(BIN)/python -m benchmarks.voice $(ARGS)

# Names, versions and hashes only: no lock file may hold a download address.
lock: $(VENV)/.bootstrap
	$(BIN)/uv pip compile $(LOCK) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --extra offline-speech -c requirements/run.txt -o requirements/local.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --extra offline-speech --group dev -c requirements/local.txt -o requirements/dev.txt
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

clean:
	rm -rf $(VENV) $(LITELLM) $(VOICE) .ringback

$(VENV)/.bootstrap: requirements/bootstrap.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/.run: $(VENV)/.bootstrap requirements/local.txt pyproject.toml
	$(INSTALL) --compile-bytecode --require-hashes -r requirements/local.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

# Wheels only: nothing of it runs while it is installed.
$(LITELLM)/.installed: $(VENV)/.bootstrap requirements/litellm.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LITELLM)
	$(BIN)/uv pip install --quiet --no-build --compile-bytecode --require-hashes --python $(LITELLM)/bin/python -r requirements/litellm.txt
	@touch $@

# What the lock leaves out is not looked for.
$(VOICE)/.installed: $(VENV)/.bootstrap requirements/pipecat.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VOICE)
	$(BIN)/uv pip install --quiet --no-build --no-deps --compile-bytecode --require-hashes --python $(VOICE)/bin/python -r requirements/pipecat.txt
	@touch $@
