# Everything that is done with the project. ARGS is handed on: make run ARGS=--check, make test ARGS='-k deflate'.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
ARGS :=

.PHONY: help run test matrix bench conformance lint types peers clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1 	/p' Makefile

run: $(READY) ## the chat of examples/chat on http://localhost:8080/
	@$(BIN)/python examples/chat $(ARGS)

test: lint types peers ## lint, types and all tests
	$(BIN)/python -m pytest $(ARGS)

matrix: $(READY) peers ## the tests on the other Pythons found, without browsers
	@sh tools/matrix.sh $(ARGS)

bench: $(READY) ## the echo rate beside another package's
	@$(BIN)/python benchmarks/echo.py $(ARGS)

conformance: $(READY) ## all cases of the Autobahn test suite, both roles; writes docs/conformance.md
	@$(BIN)/python tests/conformance/run.py $(ARGS)

lint: $(READY) ## ruff, the layers, and whether what is written by tools is what the code says
	$(BIN)/ruff check
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/options_table.py --check
	$(BIN)/python tools/native_tables.py --check

types: $(READY) ## mypy, strict
	$(BIN)/mypy

peers:
	@sh tools/install_peers.sh

clean: ## take away what was built and installed, the virtual environments too
	rm -rf .venv .venv-* build dist src/*.egg-info tests/interop/node/node_modules .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml tools/make_venv.sh
	@sh tools/make_venv.sh $(VENV)
