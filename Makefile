# Everything a developer types. `make` lists the targets.
# Needs Python 3.11 or newer and a network, once: the rest goes into .venv.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo up dev test test-unit test-faults style lint format client lock clean

BIN := .venv/bin
INSTALLED := .venv/.installed
UNIT_INSTALLED := .venv-unit/.installed
# Hundreds of processes of the tests import the same modules: without this each compiles them anew, for a second
unexport PYTHONDONTWRITEBYTECODE

# uv as it is found, else one of our own
UV := $(shell command -v uv || echo build/uv/bin/uv)

TEACHER ?=
SEED ?=
LABELS ?=

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Distil a student for handwritten digits through the service (TEACHER=name SEED=0 LABELS=2)
	@$(BIN)/tdmr demo $(if $(TEACHER),--teacher=$(TEACHER)) $(if $(SEED),--seed=$(SEED)) \
		$(if $(LABELS),--labels-per-class=$(LABELS))

up: $(INSTALLED) ## Start the service on this machine and leave it running until Ctrl-C
	@$(BIN)/tdmr up

# The same command, sent Ctrl-C and started again at each change; a running job is handed back and goes on.
dev: $(INSTALLED) ## Start the service as `make up` does, and again whenever its code changes
	@$(BIN)/watchfiles --sigint-timeout 60 "$(BIN)/tdmr up" app worker migrations

# Four processes on CI's two cores: many tests wait for a lease, a server or a child. Who has no more takes from the
# others: the long tests come first in the list, and one process would still be at them when the others are done.
# mypy, which takes a minute on one core, is among the tests.
test: style ## All checks and tests, as CI runs them; of the faults those that take seconds
	$(BIN)/pytest -n 4 --dist worksteal -m "not slow_fault"

# Needs no Postgres, no Redis and no network. Where .venv is there, with torch, tests of the training are among them.
# Elsewhere they are left out (tests/unit/conftest.py), and .venv-unit is made: 0.7 GB, in a minute.
test-unit: $(if $(wildcard $(INSTALLED)),$(INSTALLED),$(UNIT_INSTALLED)) ## Unit tests, without those that train or start a service
	$(<D)/bin/pytest -n 2 -m "not slow" tests/unit

test-faults: $(INSTALLED) ## Every fault of docs/faults.md, with the table: kills, full disks, frozen servers
	$(BIN)/pytest -n 2 tests/faults

lint: style ## Style, the directions of imports, and types
	$(BIN)/mypy

style: $(INSTALLED) ## Style and the directions of imports, in seconds
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

format: $(INSTALLED) ## Format the code and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

client: $(INSTALLED) ## Write what of the client is generated: models, errors, the schema of job.yaml, the synchronous twin
	$(BIN)/python -m client.tools.generate

lock: $(UV) ## Choose the newest versions that fit pyproject.toml and write them to requirements.lock
	$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-package tdmr-client \
		-o requirements.lock

clean: ## Remove what can be made again; the service's data in .tdmr stays
	rm -rf .venv .venv-unit build dist demo-out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Again only when what is to be installed has changed.
$(INSTALLED): requirements.lock pyproject.toml client/pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python '>=3.11' .venv
	@echo "Installing into .venv: some 2 GB with torch, compiled once for quick starts"
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable client --editable .
	@touch $@

$(UNIT_INSTALLED): requirements.lock pyproject.toml client/pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python '>=3.11' .venv-unit
	$(UV) pip install --quiet --compile-bytecode --python .venv-unit/bin/python --constraint requirements.lock \
		--editable '.[unit]'
	@touch $@

build/uv/bin/uv:
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tdmr needs Python 3.11 or newer")'
	python3 -m venv build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
