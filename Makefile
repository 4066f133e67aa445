# make demo         the whole machine, simulated, with a page to play at the citizen (ROBOT=1: a scripted renewal)
# make test         all checks and tests
# make soak         the real daemon in memory, in virtual time, under fire (DAYS=30 SEEDS=1..3 JOBS=2)
# make soak-nightly whole years of a busy locker, a seed each (YEARS=100 FROM=1 JOBS=2)
# make crash-images the database's real writes, the power cut after each of them (IMAGES=100000 SEED=1 JOBS=2)
# make crash-tries  tries of a pickup code with the plug pulled (PULLS=1000)
# make kills        kill -9 at random moments, on real wires, over a long history (KILLS=500 SEED=1 JOBS=2 STATE=folder)
# make mutants      daemons with one fault each, which the simulation has to notice
# make setup        .venv only
# make lint         ruff, ruff format, mypy --strict over code and tests
# make lock         requirements.lock anew after a change of pyproject.toml
# make conformance  a board's proof (PORT=/dev/ttyUSB0 or TCP=host:port, UNIT=1)
# make picture      docs/kiosk.png again, from a real run
# make bench-wires  the bus owner against bare pymodbus and against the wire's limit
# make bench-codes  10,000 wrong codes: does time tell known numbers from unknown ones? (TRIES=10000 RECORD=file)
# make line-faults  10,000 motions over a line that loses, delays, doubles and mixes (MOTIONS=10000 LOSS=0.1 SEED=1)
# make bench-face   lockerd's face chain against InsightFace's own, on the same models, frame and threads
# make bench-worker the daemon's loop and memory beside a worker that works flat out, frames a second
# make fuzz         coverage-guided fuzzing of every parser (SECONDS=60 each)
.PHONY: setup test demo soak soak-nightly mutants crash-images crash-tries kills lint lock picture bench-wires bench-codes line-faults fuzz conformance bench-face bench-worker
.DEFAULT_GOAL := demo

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
READY := $(VENV)/.ready

setup: $(READY)

$(READY): requirements.lock pyproject.toml .ci/packages
	PYTHON="$(PYTHON)" bash .ci/packages runtime
	$(PYTHON) -m venv $(VENV)
	@echo "Installing requirements.lock into $(VENV)"
	@$(PIP) --require-hashes --requirement requirements.lock || { echo "!! Not everything in requirements.lock could be \
	installed. Is the package index reachable? After that: make setup" >&2; exit 1; }
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY)
	$(BIN)/python -m sim demo $(if $(ROBOT),--robot)

# The picture of README.md anew, from a real journey; all others are in ./screenshots/journey.
picture: $(READY)
	LOCKERD_SCREENSHOTS=screenshots $(BIN)/python -m pytest tests/system/test_renewal_in_browser.py -k renewal
	cp screenshots/journey/renewal-en-09-take.png docs/kiosk.png

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# simulated days of the daemon under fire; DAYS, SEEDS and JOBS as you like
soak: $(READY)
	$(BIN)/python -m sim soak --days $(or $(DAYS),30) --seeds $(or $(SEEDS),1..3) --jobs $(or $(JOBS),2)

crash-images: $(READY)
	bash .ci/packages test
	$(BIN)/python -m tests.crash.images --images $(or $(IMAGES),100000) --seed $(or $(SEED),1) --jobs $(or $(JOBS),2)

crash-tries: $(READY)
	bash .ci/packages test
	$(BIN)/python -m tests.crash.attempts --pulls $(or $(PULLS),1000)

soak-nightly: $(READY)
	$(BIN)/python -m sim soak --busy --days 365 --jobs $(or $(JOBS),2) --json \
	  --seeds $(or $(FROM),1)..$$(($(or $(FROM),1) + $(or $(YEARS),100) - 1))

kills: $(READY)
	$(BIN)/python -m tests.crash.kills --kills $(or $(KILLS),500) --seed $(or $(SEED),1) --rows $(or $(ROWS),300000) \
	  --jobs $(or $(JOBS),2) $(if $(STATE),--state $(STATE))

# every mutant of the daemon against the simulation; NAMES="no-sync …" for some of them
mutants: $(READY)
	$(BIN)/python -m tests.mutants $(NAMES)

test: $(READY) lint
	bash .ci/packages test
	$(BIN)/python -m pytest

bench-wires: $(READY)
	$(BIN)/python -m tests.bench.wires

bench-codes: $(READY)
	$(BIN)/python -m tests.bench.codes --tries $(or $(TRIES),10000) $(if $(RECORD),--record $(RECORD))

line-faults: $(READY)
	$(BIN)/python -m tests.bench.line_faults --motions $(or $(MOTIONS),10000) --loss $(or $(LOSS),0.1) --seed $(or $(SEED),1)

bench-face: $(READY)
	@$(BIN)/python -m tests.bench.face --threads 1
	@$(BIN)/python -m tests.bench.face --threads 2

bench-worker: $(READY)
	@$(BIN)/python -m tests.bench.worker

# atheris is no part of the lock: it comes into .venv here only, and without it the fuzzer says that it works blindly.
fuzz: $(READY)
	$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  "$$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["fuzz"])')" || true
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60)

# The lock again after a change of pyproject.toml; needs uv.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements.lock

# A board's proof: make conformance PORT=/dev/ttyUSB0 UNIT=1, or TCP=host:port.
conformance: $(READY)
	$(BIN)/python -m firmware_protocol conformance $(if $(PORT),--port $(PORT),--tcp $(TCP)) --unit $(or $(UNIT),1) \
	  --json conformance.json
