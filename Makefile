# What people and CI run. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/uv/bin/uv
BIN := $(CURDIR)/.venv/bin
# Node and the rest of the environment come first, so that the machine needs neither.
export PATH := $(BIN):$(PATH)
export UV_LINK_MODE := copy
# The certificates that this machine trusts, as pip and git do.
export UV_SYSTEM_CERTS := 1
export NODE_USE_SYSTEM_CA := 1
export NPM_CONFIG_UPDATE_NOTIFIER := false

.PHONY: help setup demo test check bench clean lock

help: ## Say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/ready node_modules/ready ## Make the environment: locked Python packages, Node, the CDK CLI

demo: setup ## Deploy to a sandbox on this machine, overspend, see the fuse blow
	@$(BIN)/spendfuse demo

test: setup ## Run all tests
	@$(BIN)/pytest

check: setup ## Format, lint, types, import contracts and all tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest

bench: setup ## Run the benchmarks; `make bench NAME=demo` runs one
	@$(BIN)/python -m benchmarks $(NAME)

lock: $(UV) ## Lock the Python packages anew, after pyproject.toml changed
	@$(UV) pip compile --universal --all-extras --group dev --generate-hashes --python-version 3.11 \
	    --quiet pyproject.toml --output-file requirements.txt

clean: ## Remove what was built; the environment stays
	@rm -rf build cdk.out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "spendfuse needs Python 3.11 or newer; name one with PYTHON=python3.x" >&2; exit 1; }
	@echo "Setting up: environment"
	@$(PYTHON) -m venv .tools/uv
	@.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/ready: requirements.txt pyproject.toml | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --python $(BIN)/python requirements.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

node_modules/ready: package-lock.json .venv/ready
	@echo "Setting up: the CDK CLI"
	@npm ci --loglevel=error --no-fund --no-audit > /dev/null
	@touch $@
