PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-slow test-pg16 coverage patterns audits clients check generate fix format-check lint types imports generated migrate bench bench-peers lock clean

help: ## Show what there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(STAMP) ## Create .venv and install the locked dependencies

$(STAMP): requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $(STAMP)

run: $(STAMP) ## Serve on 127.0.0.1:8000 (PORT and DATA_DIR change that)
	@exec $(BIN)/python cli.py serve

demo: $(STAMP) ## Add demo teams (TEAMS=12) to the database
	@$(BIN)/python cli.py seed-demo --teams $(or $(TEAMS),12)

test: $(STAMP) ## Run the tests but the slow ones
	$(BIN)/python -m pytest -n auto -m "not slow"

test-slow: $(STAMP) ## Run the long kill series and loads
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow

check: format-check lint types imports generated patterns audits clients coverage test-pg16 ## All that must hold before a commit

coverage: $(STAMP) ## Run the tests and fail under 95 % coverage, branches included
	$(BIN)/python -m pytest -n auto -m "not slow" --cov --cov-report=term:skip-covered --cov-fail-under=95

test-pg16: $(STAMP) ## Run what touches the database on PostgreSQL 16
	TEST_POSTGRES_VERSION=16 $(BIN)/python -m pytest -n auto -m "not slow" tests/persistence tests/resolvers tests/schema

patterns: $(STAMP) ## Compare the patterns served to clients with the checks, in node
	$(BIN)/python -m tests.patterns

audits: $(STAMP) ## Hold GraphQL over HTTP against its audit suite, in node
	$(BIN)/python -m tests.audits

clients: $(STAMP) ## Run sessions of Apollo Client and urql with the service, in node
	$(BIN)/python -m tests.clients

fix: $(STAMP) ## Format the code and apply the safe corrections of the linter
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

format-check: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

generated: $(STAMP) ## Fail when a generated file is not current
	$(BIN)/python cli.py schema --check
	$(BIN)/python cli.py docs --check

generate: $(STAMP) ## Write the schema snapshot and the generated pages
	$(BIN)/python cli.py schema
	$(BIN)/python cli.py docs

migrate: $(STAMP) ## Bring the database to the newest schema
	@$(BIN)/python cli.py migrate

bench: $(STAMP) ## Measure beside the raw limit, growth and start (see benchmarks/README.md)
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/startup.py

bench-peers: $(STAMP) ## Measure beside Mercurius, in node
	$(BIN)/python benchmarks/compare_mercurius.py

lock: $(STAMP) ## Make requirements.lock anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-strip-extras --python-version 3.11 --group dev --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean: ## Remove what setup and the tools made
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
