# `make review` and `make test` each do everything, from a fresh clone on a machine with Python 3.11+ and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# torch is pinned in constraints.txt; a wheel on the local disk is taken where pip knows of one
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
export OMP_NUM_THREADS ?= 1

.PHONY: install review test lint types contracts check docs validate validate-verdicts validate-victims validate-attacks \
        validate-defenses validate-review validate-endpoints validate-adapters bench mutation coverage clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable ".[dev]"
	@touch $@

# exit 1 is a verdict (a bound is broken), not a failure of this target
review: install
	@$(BIN)/robust review quick --out review; code=$$?; \
	if [ $$code -eq 1 ]; then \
	  echo "make: the review is complete; a bound is broken (exit code 1 of robust review)."; \
	elif [ $$code -ne 0 ]; then exit $$code; fi; \
	echo "make: read review/report.html"

test: install
	$(BIN)/python -m pytest -m "not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

contracts: install
	$(BIN)/lint-imports

check: lint types contracts test

# the pages of attacks and defences, from what their classes say; a test holds them to it
docs: install
	$(BIN)/python -m robust.reference docs

# Longer suites, not in CI. ROBUST_DATA names a folder with ml-1m.parquet and the other logs; ROBUST_CACHE, if it is set, one
# in which fitted victims are kept from one run of validate-attacks to the next.
validate: validate-verdicts validate-victims validate-attacks validate-defenses validate-review validate-endpoints validate-adapters

# MLServer and the KServe SDK ask for other versions than ours, so each gets an environment of its own
validate-endpoints: install $(VENV)/mlserver/.installed $(VENV)/kserve/.installed
	ROBUST_MLSERVER=$(abspath $(VENV))/mlserver/bin/mlserver ROBUST_KSERVE=$(abspath $(VENV))/kserve/bin/python \
	  $(BIN)/python -m pytest tests/validation/test_model_servers.py

$(VENV)/mlserver/.installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet mlserver==1.7.1
	@touch $@

$(VENV)/kserve/.installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet kserve==0.21.0
	@touch $@

# RecBole and RecTools ask for other versions than ours, so each gets an environment of its own (minutes, once)
validate-adapters: install $(VENV)/recbole/.installed $(VENV)/rectools/.installed
	$(BIN)/python -m pytest -m slow tests/integration/test_in_process_models.py
	$(VENV)/recbole/bin/python -m pytest -m slow tests/integration/test_recbole.py tests/integration/test_recbole_attack.py
	$(VENV)/rectools/bin/python -m pytest -m slow tests/integration/test_rectools.py

$(VENV)/recbole/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt torch
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt \
	  --editable ".[recbole]" pytest
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps recbole==1.2.1
	@touch $@

# RecTools 0.19 wants numpy 1 under Python 3.11: not what constraints.txt says
$(VENV)/rectools/.installed: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet torch==2.13.0
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --editable ".[rectools]" \
	  rectools==0.19.0 torch==2.13.0 pytest
	@touch $@

validate-verdicts: install
	$(BIN)/python -m pytest -m slow tests/unit tests/quality

validate-victims: install
	ROBUST_DATA=$(or $(ROBUST_DATA),../shared/data) $(BIN)/python -m pytest tests/validation/test_victims.py -s

validate-attacks: install
	ROBUST_DATA=$(or $(ROBUST_DATA),../shared/data) $(BIN)/python -m pytest -s \
	  tests/validation/test_attacks.py tests/validation/test_substitution.py tests/validation/test_append.py \
	  tests/validation/test_removal.py tests/validation/test_poisoning.py tests/validation/test_controls.py

validate-defenses: install
	ROBUST_DATA=$(or $(ROBUST_DATA),../shared/data) $(BIN)/python -m pytest -s \
	  tests/validation/test_detectors.py tests/validation/test_adversarial_training.py \
	  tests/validation/test_substitution_defenses.py

validate-review: install
	ROBUST_DATA=$(or $(ROBUST_DATA),../shared/data) $(BIN)/python -m pytest tests/validation/test_review.py -s

bench: install
	ROBUST_DATA=$(or $(ROBUST_DATA),../shared/data) $(BIN)/python -m pytest tests/benchmarks -o addopts="--strict-markers --import-mode=importlib -p no:randomly" -s

# 400 planted faults, drawn by a seed, in what judges; outside CI (about 7 minutes on one core)
mutation: install
	$(BIN)/python -m tests.mutation --sample 400 --seed 0 --at-least 85

coverage: install
	$(BIN)/python -m pytest -m "not slow" --cov --cov-report=term:skip-covered

clean:
	rm -rf $(VENV) review robust-out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
