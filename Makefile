# Zhiyun from a checkout. `make run` needs Python 3.11 or newer and nothing else; `make help` lists the rest.

PYTHON_BIN := .venv/bin/python
SUITES := core config adapters registry cache storage bus exchange gateway console server cli customer insight
# What the checks look at: whatever of it exists.
CHECKED := $(wildcard $(SUITES) examples benchmarks tools tests sdk/python)
TYPED := $(patsubst %/__init__.py,%,$(wildcard $(SUITES:%=%/__init__.py) examples/__init__.py benchmarks/__init__.py)) tools tests
BENCHMARKS := $(filter-out __init__ __main__,$(patsubst benchmarks/%.py,%,$(wildcard benchmarks/*.py)))
ARGS ?=
TIME_S ?= 60
PYTEST := $(PYTHON_BIN) -m pytest -n 2 --dist loadgroup

CHECKS := check-format check-lint check-types check-layers check-size check-mirror

.DEFAULT_GOAL := help
.PHONY: help install install-dev compile run demo fuzz check $(CHECKS) format test test-fast bench lock requirements clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

install: ## make .venv and install what a node runs on (nothing to do: under a second)
	@PYTHON='$(PYTHON)' sh tools/install.sh runtime

install-dev:
	@PYTHON='$(PYTHON)' sh tools/install.sh dev

compile: install-dev ## compile the hot path of the gateway; fails where that can't be done
	@$(PYTHON_BIN) tools/compile.py --require

run: install ## start a node with the sample estate; ARGS="--http 127.0.0.1:9080" is passed on
	@sh tools/run.sh ./zhiyun up --sample estate --data-dir data $(ARGS)

demo: install ## walk through the platform against the sample estate
	@sh tools/run.sh ./zhiyun demo $(ARGS)

check: $(CHECKS) ## the static checks; make -k check shows all that fail

check-format: install-dev
	@$(PYTHON_BIN) -m ruff format --check --quiet $(CHECKED) || { echo "make check: not formatted: run make format"; exit 1; }

check-lint: install-dev
	@$(PYTHON_BIN) -m ruff check --quiet $(CHECKED)

check-types: install-dev
	@$(PYTHON_BIN) -m mypy $(TYPED)

check-layers: install-dev
	@$(PYTHON_BIN) -m tools.layers

check-size: install-dev
	@$(PYTHON_BIN) -m tools.size $(CHECKED)

check-mirror: install-dev
	@$(PYTHON_BIN) -m tools.mirror

format: install-dev ## format the code and sort its imports
	@$(PYTHON_BIN) -m ruff check --quiet --select I --fix $(CHECKED)
	@$(PYTHON_BIN) -m ruff format $(CHECKED)

test: check ## everything: the checks, then all tests with real servers
	@$(PYTHON_BIN) -m tools.ensure_servers
	@$(PYTEST) $(ARGS)

test-fast: install-dev ## tests that need no real server and take no time
	@$(PYTEST) -m "not servers and not slow" $(ARGS)

fuzz: install-dev ## fuzz the parsers with atheris in .venv-fuzz, TIME_S=60 seconds each
	@PYTHON='$(PYTHON)' sh tools/fuzz.sh $(TIME_S)

bench: install-dev ## run every benchmark
	@set -e; for name in $(BENCHMARKS); do $(PYTHON_BIN) -m benchmarks.$$name; done

# The development lock first: it must hold every pin of the runtime lock. No index address may reach either.
LOCK := env -u PIP_FIND_LINKS -u UV_FIND_LINKS $(PYTHON_BIN) -m uv pip compile --quiet --upgrade --universal \
	--python-version 3.11 --generate-hashes --custom-compile-command "make lock"
lock: install-dev ## resolve requirements/*.in anew into the locks
	@$(LOCK) requirements/dev.in -o requirements/dev.lock
	@$(LOCK) --constraint requirements/dev.lock requirements/runtime.in -o requirements/runtime.lock
	@$(LOCK) requirements/fuzz.in -o requirements/fuzz.lock

requirements: install-dev ## print each requirement with the tests that prove it
	@$(PYTHON_BIN) -m tools.requirements_report

clean: ## remove what tools left behind; .venv and data stay
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.venv*/*' -prune -exec rm -rf {} +
