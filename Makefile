# Needs python3.11 or later, make and git; everything else is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test check guard bench faults fuzz same simulate coverage mutation pictures reliability supply sbom \
	clean

demo: .venv/installed
	$(BIN)/rerank demo

# The tests of a file stay together, so that what they share is made once. What they start compiles
# the sources once, too, wherever the environment says that nothing compiled is to be kept.
test: export PYTHONDONTWRITEBYTECODE =
test: .venv/installed-dev
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Answers are those of the golden files: `make guard PARTS=--all` trains too, a minute more.
guard: .venv/installed-dev
	$(BIN)/python tests/guard/guard.py --rerank $(BIN)/rerank $(PARTS)

# A disk that fails at 140 calls of each command (half an hour); `make faults FAULTS=all`, at every one (hours).
FAULTS ?= 140
faults: .venv/installed-dev
	RERANK_FAULTS=$(FAULTS) $(BIN)/python -m pytest -p no:cacheprovider tests/jobs/test_faults.py

# Hostile inputs, 92% of them titles, by a seed (some ten minutes).
CASES ?= 100000
SEED ?= 1
fuzz: .venv/installed-dev
	RERANK_FUZZ=$(CASES) RERANK_FUZZ_SEED=$(SEED) $(BIN)/python -m pytest -p no:cacheprovider -s \
		tests/jobs/test_hostile_inputs.py

# The same answers from files, workers, Ray, tables, SQL and the service, byte for byte.
TITLES ?= 50000
same: .venv/installed-dev
	RERANK_SAME=$(TITLES) $(BIN)/python -m pytest -p no:cacheprovider tests/jobs/test_same_answers.py

# A shop's days; what fails names its seed and day (some two seconds a day).
DAYS ?= 1000
simulate: .venv/installed-dev
	RERANK_SIMULATED_DAYS=$(DAYS) RERANK_SIMULATED_SEED=$(SEED) $(BIN)/python -m pytest \
		-p no:cacheprovider tests/jobs/test_simulated_days.py

# Branches of what decides that no test takes: at least 98 % are taken.
COVERED ?= tests
coverage: .venv/installed-dev
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -p no:cacheprovider -n logical --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder $(COVERED)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

# Each expression of what calibrates, covers and gates is changed: tests must notice (an hour of one core).
mutation: .venv/installed-dev .tools/mutmut
	PYTHONPATH=.tools/mutmut $(BIN)/python -m mutmut run
	PYTHONPATH=.tools/mutmut $(BIN)/python -m mutmut results

# In a folder of its own: it runs in the process of the tests, and brings what they do not need.
.tools/mutmut: | .venv/installed-dev
	$(BIN)/python -m pip install --quiet --target $@ 'mutmut>=3.8,<4'

bench: .venv/installed-dev
	$(BIN)/python -m bench --page docs/benchmarks.md

# The pages as README shows them; needs a Chromium.
pictures: .venv/installed-dev
	$(BIN)/python -m bench.pictures

# The page of what was tried and held; `supply` checks licences and known faults of dependencies.
reliability: .venv/installed-dev
	$(BIN)/python -m bench.reliability

supply: .venv/installed-dev
	$(BIN)/python -m bench.supply

# What an installation is made of, as CycloneDX (JSON), by a tool in a place of its own.
sbom: .venv/installed .tools/installed
	.tools/bin/cyclonedx-py environment $(BIN)/python --output-reproducible --of JSON -o sbom.json

.tools/installed:
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet 'cyclonedx-bom>=7,<8'
	touch $@

clean:
	rm -rf .rerank build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.coverage* mutants

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rerank needs Python 3.11 or later")'
	$(PYTHON) -m venv .venv

# Stamps: an installation is repeated only when what it is made from has changed.
.venv/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train]'
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ .venv/installed
