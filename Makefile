# Everything that is done with the project. ARGS is handed on: make run ARGS=--check, make test ARGS='-k deflate'.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
WHEEL := .venv-wheel
ARGS :=

.PHONY: help run test matrix bench bench-topics bench-scaling attacks leaks conformance sanitize fuzz soak storm chaos mutants lint types native wheel packages peers clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 	/p' Makefile

run: native ## the chat of examples/chat on http://localhost:8080/
	@$(BIN)/python examples/chat $(ARGS)

test: lint types native peers ## lint, types and all tests, those over sockets on the portable engine too
	@sh tools/test.sh $(ARGS)

matrix: $(READY) peers ## the tests on the other Pythons found, without browsers
	@sh tools/matrix.sh $(ARGS)

bench: .venv-bench/ready ## the package beside its peers, some 20 minutes; writes docs/benchmarks.md; less with ARGS=--help
	@sh tools/build_native.sh .venv-bench
	@sh tools/install_peers.sh npm
	@.venv-bench/bin/python -m benchmarks $(ARGS)

bench-topics: .venv-bench-topics/ready ## topics beside broadcast and python-socketio, some ten minutes; writes docs/benchmarks-topics.md
	@sh tools/build_native.sh .venv-bench-topics
	@.venv-bench-topics/bin/python -m benchmarks.topics $(ARGS)

bench-scaling: native ## what one process, one machine and a broker carry, some six minutes; writes docs/scaling.md
	@PYTHONPATH=src:tests $(BIN)/python -m benchmarks.scaling $(ARGS)

attacks: native ## how soon honest peers are answered under attack, some 17 minutes; writes docs/attacks.md; less with ARGS=--help
	@PYTHONPATH=src:tests $(BIN)/python tests/hostile/under_attack.py $(ARGS)

leaks: native ## the check for leaks, with ROUNDS=100 or more connections of each kind in a batch
	LEAK_ROUNDS=$(or $(ROUNDS),100) $(BIN)/python -m pytest --timeout=0 tests/transports/test_leaks.py $(ARGS)

conformance: native ## all cases of the Autobahn test suite, both roles; writes docs/conformance.md
	@$(BIN)/python tests/conformance/run.py $(ARGS)

sanitize: $(READY) peers ## the tests on native modules with AddressSanitizer and UndefinedBehaviorSanitizer, some 6 minutes
	@sh tools/sanitize.sh $(ARGS)

fuzz: ## each of the fuzzers for SECONDS=60; those named by ARGS only; wants Python 3.11
	@[ -e .venv-fuzz/ready -a .venv-fuzz/ready -nt pyproject.toml ] || sh tools/make_venv.sh .venv-fuzz fuzz 3.11
	@sh tools/build_native.sh .venv-fuzz
	@.venv-fuzz/bin/python tests/fuzz/run.py --seconds $(or $(SECONDS),60) $(ARGS)

soak: native ## honest and hostile load for SECONDS=60, on ENGINE=native: nothing may grow, nothing may be left
	@WSMASH_ENGINE=$(or $(ENGINE),$(WSMASH_ENGINE),native) PYTHONPATH=src:tests \
		$(BIN)/python -m soak.run --seconds $(or $(SECONDS),60) $(ARGS)

storm: native ## 1000 clients lose their server for OUTAGE=0 seconds, with the delays of reconnect=True, and come back
	@PYTHONPATH=src $(BIN)/python tests/hostile/storm.py --outage $(or $(OUTAGE),0) $(ARGS)

chaos: native ## nodes, clients and BROKER=redis or nats are killed and paused for SECONDS=60; no promise may be broken
	@PYTHONPATH=src:tests $(BIN)/python -m chaos.run --broker $(or $(BROKER),redis) --seconds $(or $(SECONDS),60) \
		--seed $(or $(SEED),1) $(ARGS)

mutants: ## changes to the parser, the limits and the end of a connection, which the tests must notice; an hour or more
	@[ -e .venv-mutants/ready -a .venv-mutants/ready -nt pyproject.toml ] || sh tools/make_venv.sh .venv-mutants mutants
	@WSMASH_ENGINE=portable .venv-mutants/bin/mutmut run $(ARGS)
	@.venv-mutants/bin/python tools/mutants.py

lint: $(READY) ## ruff, the layers, and whether what is written by tools is what the code says
	$(BIN)/ruff check
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/options_table.py --check
	$(BIN)/python tools/native_tables.py --check
	$(BIN)/python tools/threat_model.py --check

types: $(READY) ## mypy, strict
	$(BIN)/mypy

native: $(READY) ## the native modules in place, where what they are made of has changed
	@sh tools/build_native.sh $(VENV)

wheel: ## in dist/: the source distribution, and a manylinux wheel for each Python found, or for VERSIONS='3.11 3.12'
	@sh tools/make_wheels.sh $(VERSIONS)

packages: wheel ## installs what is in dist/, with compilers and without, as users would
	@$(WHEEL)/bin/python tools/try_install.py $(ARGS)

peers:
	@sh tools/install_peers.sh

clean: ## take away what was built and installed, the virtual environments too
	rm -rf .venv .venv-* build dist src/*.egg-info src/wsmash/_native/*.so src/wsmash/_native/unbuilt.* \
		tests/interop/node/node_modules .mypy_cache .ruff_cache .hypothesis

.venv-bench-topics/ready: pyproject.toml tools/make_venv.sh
	@sh tools/make_venv.sh .venv-bench-topics bench-topics

.venv-bench/ready: pyproject.toml tools/make_venv.sh
	@sh tools/make_venv.sh .venv-bench bench

$(READY): pyproject.toml tools/make_venv.sh
	@sh tools/make_venv.sh $(VENV)
