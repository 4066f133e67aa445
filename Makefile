# make demo         the whole machine, simulated, with a page to play at the citizen (ROBOT=1: a scripted renewal)
# make test         all checks and tests
# make soak         the real daemon in memory, in virtual time, under fire (DAYS=30 SEEDS=1..3 JOBS=2)
# make setup        .venv only
.PHONY: setup soak test demo lint lock
.DEFAULT_GOAL := demo

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

setup: $(READY)

$(READY): requirements.lock pyproject.toml .ci/packages
	bash .ci/packages runtime
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY)
	$(BIN)/python -m sim demo $(if $(ROBOT),--robot)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# simulated days of the daemon under fire; DAYS, SEEDS and JOBS as you like
soak: $(READY)
	$(BIN)/python -m sim soak --days $(or $(DAYS),30) --seeds $(or $(SEEDS),1..3) --jobs $(or $(JOBS),2)

test: $(READY) lint
	bash .ci/packages test
	$(BIN)/python -m pytest

# The lock again after a change of pyproject.toml; needs uv.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements.lock
