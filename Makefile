# `make` alone lists what there is. Each target gets what it needs first; what is there is kept.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin

# More than there are cores: the tests on real Asterisks mostly wait for a call to go on.
WORKERS ?= 3

.PHONY: help venv tools asterisk demo run check format lint types imports quick test again wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.made ## make the virtual environment .venv

$(VENV)/.made: pyproject.toml docker/install-callrec.sh
	docker/install-callrec.sh --dev $(VENV) .
	touch $@

tools: ## install the programs that the tests use
	docker/get-tools.sh

asterisk: ## find an Asterisk, or get one
	docker/get-tools.sh flock mount nsenter setpriv unshare
	docker/get-asterisk.sh >/dev/null

demo: venv asterisk ## see calls being announced, recorded, paused and declined on a real Asterisk
	$(BIN)/python -m tests.demo

run: venv asterisk ## keep the demo's set-up running until Ctrl-C
	$(BIN)/python -m tests.demo --stay

check: venv lint types imports quick ## the quick checks, for before a commit

format: venv ## put the code into its format
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: venv
	$(BIN)/mypy

imports: venv
	$(BIN)/lint-imports

quick: venv
	$(BIN)/pytest -q -m "not asterisk and not slow"

test: venv tools asterisk lint types imports ## everything
	$(BIN)/pytest -n $(WORKERS) --dist loadfile || { [ $$? -eq 1 ] && $(MAKE) again; }

again: # what failed, alone: real calls measured on a machine that does too much at once may be spoilt
	@echo; echo "Some tests failed, see above. Those again, one after the other:"
	$(BIN)/pytest --last-failed --last-failed-no-failures none

wheel: venv ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean: ## remove what make made here (the Asterisk in the cache folder stays)
	rm -rf $(VENV) dist build demo-output .hypothesis .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
