PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# Slow tests are shared out anew while the run lasts.
PARALLEL := -n auto --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-slow test-pg16 coverage patterns audits clients check generate fix format-check lint types imports generated migrate bench bench-peers lock clean

help: ## List the commands
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(STAMP) ## Create .venv and install the locked dependencies

$(STAMP): requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $(STAMP)

run: $(STAMP) ## Start the service on 127.0.0.1:8000 (or PORT), with data in data/ (or DATA_DIR)
	@exec $(BIN)/python cli.py serve

demo: $(STAMP) ## Add demo teams (TEAMS=12) to the database
	@$(BIN)/python cli.py seed-demo --teams $(or $(TEAMS),12)

test: $(STAMP) ## Run the tests, except the slow ones
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

# Those with processes of their own run one after the other: some measure outages.
test-slow: $(STAMP) ## Run the slow tests: load, and processes killed again and again
	$(BIN)/python -m pytest $(PARALLEL) -m slow --ignore tests/e2e --ignore tests/persistence
	$(BIN)/python -m pytest -m slow tests/e2e tests/persistence

check: format-check lint types imports generated patterns audits clients coverage test-pg16 ## Run all checks needed before a commit

coverage: $(STAMP) ## Run the tests; fail below 95 % branch coverage
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" --cov --cov-report=term:skip-covered --cov-fail-under=95

test-pg16: $(STAMP) ## Run the tests that use the database on PostgreSQL 16
	TEST_POSTGRES_VERSION=16 $(BIN)/python -m pytest $(PARALLEL) -m "not slow" tests/persistence tests/resolvers tests/schema

patterns: $(STAMP) ## Compare the text patterns for clients with the validation, in node
	$(BIN)/python -m tests.patterns

audits: $(STAMP) ## Run the audit suite of GraphQL over HTTP, in node
	$(BIN)/python -m tests.audits

clients: $(STAMP) ## Test the service with Apollo Client and urql, in node
	$(BIN)/python -m tests.clients

fix: $(STAMP) ## Format the code and apply safe lint fixes
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

generated: $(STAMP) ## Check that the generated files are current
	$(BIN)/python cli.py schema --check
	$(BIN)/python cli.py docs --check

generate: $(STAMP) ## Write the schema snapshot and the generated pages
	$(BIN)/python cli.py schema
	$(BIN)/python cli.py docs

migrate: $(STAMP) ## Apply pending database migrations
	@$(BIN)/python cli.py migrate

bench: $(STAMP) ## Run the benchmarks (see benchmarks/README.md)
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/uploads.py
	$(BIN)/python benchmarks/exports.py

bench-peers: $(STAMP) ## Compare with Mercurius, in node
	$(BIN)/python benchmarks/compare_mercurius.py

lock: $(STAMP) ## Update requirements.lock from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-strip-extras --python-version 3.11 --group dev --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean: ## Remove .venv and tool caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
