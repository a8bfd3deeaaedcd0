# `make quickstart` or `make test` is all that a fresh machine needs.
# Another interpreter: make test PYTHON=python3.12.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed
# Tests run in so many processes: make test JOBS=1 for one after the other.
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-all lint format types install clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: $(INSTALLED) ## a small sweep on a generated world, from nothing to its report (no data, no network)
	@HF_HUB_OFFLINE=1 $(BIN)/tunekit sweep search_spaces/quickstart.yaml

test: $(INSTALLED) ## the tests that need neither patience nor a GPU
	@$(PYTEST) -m "not slow and not gpu" $(ARGS)

test-all: $(INSTALLED) ## every test that this machine can run
	@$(PYTEST) $(ARGS)

lint: $(INSTALLED) ## formatting and lint, nothing is changed
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

format: $(INSTALLED) ## put formatting and imports in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(INSTALLED) ## mypy, strict
	@$(BIN)/mypy --strict tunekit/

install: $(INSTALLED) ## only the environment in .venv
	@:

clean: ## remove the environment and caches; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The stamp is written last, so that an interrupted installation is taken up again.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "tunekit needs Python 3.11 or later, $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Installing into $(VENV) (once; torch and ray are large) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -qq -c constraints.txt -e '.[dev]'
	@touch $@
