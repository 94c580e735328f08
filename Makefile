# `make` alone lists what there is. Each target gets what it needs first; what is there is kept.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin

# More than there are cores: the tests on real Asterisks mostly wait for a call to go on.
WORKERS ?= 3
# Which PBX the demo uses; its far end is an Asterisk in any case.
PBX ?= asterisk

.PHONY: help venv tools asterisk demo run check format lint types imports quick test again \
	test-freeswitch again-freeswitch wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.made ## make the virtual environment .venv

$(VENV)/.made: pyproject.toml docker/install-callrec.sh
	docker/install-callrec.sh --dev $(VENV) .
	touch $@

tools: ## install the programs that the tests use
	docker/get-tools.sh

asterisk: ## find an Asterisk, or get one
	docker/get-tools.sh flock mount nsenter setpriv unshare
	docker/get-asterisk.sh >/dev/null

demo: venv asterisk ## see real calls being announced, recorded, paused and declined (PBX=freeswitch)
	@$(BIN)/python -m tests.demo --pbx $(PBX)

run: venv asterisk ## keep the demo's set-up running until Ctrl-C (PBX=freeswitch)
	@$(BIN)/python -m tests.demo --pbx $(PBX) --stay

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
	$(BIN)/pytest -q -m "not asterisk and not freeswitch and not slow"

test: venv tools asterisk lint types imports ## everything
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not freeswitch" || { [ $$? -eq 1 ] && $(MAKE) again; }

again: # what failed, alone: real calls measured on a machine that does too much at once may be spoilt
	@echo; echo "Some tests failed, see above. Those again, one after the other:"
	$(BIN)/pytest --last-failed --last-failed-no-failures none -m "not freeswitch"

test-freeswitch again-freeswitch: export CALLREC_TEST_PBX := freeswitch
ifdef CAPTURE
test-freeswitch again-freeswitch: export CALLREC_CAPTURE := $(CURDIR)/tests/data/freeswitch
endif

test-freeswitch: venv tools asterisk ## the same calls on a real FreeSWITCH (CAPTURE=1)
	@$(BIN)/python -m tests.freeswitch
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m freeswitch || \
		{ [ $$? -eq 1 ] && $(MAKE) again-freeswitch; }

again-freeswitch:
	@echo; echo "Some tests failed, see above. Those again, one after the other:"
	$(BIN)/pytest --last-failed --last-failed-no-failures none -m freeswitch

wheel: venv ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean: ## remove what make made here (the Asterisk in the cache folder stays)
	rm -rf $(VENV) dist build demo-output .hypothesis .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
