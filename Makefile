# The commands of daily work. `make` alone lists them. All of them stand on scripts/, which needs nothing installed but
# Python 3.11 to 3.15.

SHELL := /bin/bash
PYTHON := .venv/bin/python
T := tests/unit
SEED := 7
ARGS :=

.PHONY: help setup check unit test seed system services coverage bench elsewhere run settings metrics references docs

help: ## List these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

setup: ## Make .venv as uv.lock has it, with the tools
	@source scripts/setup.sh && set_up dev

check: ## Run ruff, mypy, shellcheck and the spelling check; no tests
	@scripts/test.sh check

unit: ## Run the unit tests
	@scripts/test.sh unit $(if $(ARGS),-- $(ARGS))

test: setup ## Run one file or one test: make test T=tests/unit/state/test_dedup.py ARGS="-k window"
	@.venv/bin/pytest $(T) $(ARGS)

seed: setup ## Run one history of the simulation and print its verdict: make seed SEED=7
	@$(PYTHON) -m tests.simulation $(SEED)

system: ## Run the tests with real node processes
	@scripts/test.sh system $(if $(ARGS),-- $(ARGS))

services: ## Run the tests with real NSQ, Consul and MongoDB servers, which it gets and starts
	@scripts/test.sh services $(if $(ARGS),-- $(ARGS))

coverage: ## Print the branch coverage of cluster/ and http/ by the unit, simulation and system tests
	@scripts/coverage.sh $(ARGS)

bench: setup ## Measure the main figures
	@$(PYTHON) -m bench.run $(ARGS)

elsewhere: setup ## Break etcd, Redis and Quorate alike, and print what each lost: make elsewhere ARGS="--seed 1 --seed 2"
	@source scripts/setup.sh && UV_PROJECT_ENVIRONMENT=.venv "$$(find_uv $(PYTHON))" sync --quiet --frozen --group bench
	@$(PYTHON) -m bench.elsewhere $(ARGS)

run: ## Run a cluster of three nodes in the foreground, with a live view
	@scripts/bootstrap.sh $(ARGS)

metrics: setup ## Write docs/metrics.md anew from the code
	@$(PYTHON) -m quorate.http.metrics > docs/metrics.md

settings: setup ## Write docs/settings.md anew from the code
	@$(PYTHON) -m quorate.config > docs/settings.md

references: setup ## Write docs/commands.md and docs/http.md anew from the code
	@$(PYTHON) -m scripts.references

docs: setup ## Make a site of the documents, in build/site/html, and check its links
	@$(PYTHON) scripts/docs.py
