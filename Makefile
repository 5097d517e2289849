# What a person runs. Needs Python 3.11 or 3.12; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install extra demo test check lint types format bench docs clean

help:
	@echo "make demo     install, and replay the bundled log: no broker needed"
	@echo "make install  leave the command at $(BIN)/freshrank"
	@echo "make extra NAME=tune   install an extra: avro, deep, pandas, parquet, report, serve or tune"
	@echo "make test     install what the tests need, and run them"
	@echo "make check    lint, types and tests: what CI runs"
	@echo "make docs     build the documentation into .cache/site"
	@echo "make bench    measure speed; writes bench/results.md"
	@echo "make format   format the code"

$(VENV)/installed: pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

install: $(VENV)/installed

extra: install
	$(BIN)/python -m pip install --quiet --editable '.[$(NAME)]'

demo: install
	$(BIN)/freshrank demo

test: $(VENV)/installed-dev
	$(BIN)/pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

check: lint types test docs

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/installed-dev
	$(BIN)/mkdocs build --strict --quiet
	@echo "open .cache/site/index.html"

bench: $(VENV)/installed-dev
	$(BIN)/python -m bench.run

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache build dist
