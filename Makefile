# What a person runs. Needs Python 3.11 or 3.12; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests start many processes: each module is compiled to bytecode once, and not by each of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install extra demo live test test-slow test-rest test-rest-failed test-all check lint types format bench docs clean

help:
	@echo "make demo     install, and replay the bundled log: no broker needed"
	@echo "make live     the job at work: a broker, the job, a server, and the page that shows them"
	@echo "make install  leave the command at $(BIN)/freshrank"
	@echo "make extra NAME=tune   install an extra: avro, deep, pandas, parquet, report, serve or tune"
	@echo "make test     install what the tests need, and run the quick ones: 3 minutes on 2 cores"
	@echo "make check    lint, types, docs, the quick and the slow tests"
	@echo "make test-rest the tests with a broker, processes of their own or a browser: 10 to 18 minutes on 2 cores"
	@echo "make test-all all of these tests. CI runs them, and make check"
	@echo "make docs     build the documentation into .cache/site"
	@echo "make bench    measure speed; writes bench/results.md"
	@echo "make format   format the code"

PIP = $(BIN)/python -m pip install --disable-pip-version-check --editable
# The kernels are compiled, which takes half a minute of one core, while pip fetches further libraries.
WARM_UP = $(BIN)/python -c 'from recmodels.fused.warm_up import warm_up; warm_up()'

$(VENV)/installed: pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing freshrank and what it needs into $(VENV): about 300 MB, a minute or two."
	$(PIP) .
	touch $@

$(VENV)/installed-report: $(VENV)/installed
	@echo "Compiling the kernels, once for this version, while the libraries of the report are installed."
	$(WARM_UP) & $(PIP) '.[report]'; done=$$?; wait; exit $$done
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(WARM_UP) & $(PIP) '.[dev]'; done=$$?; wait; exit $$done
	touch $@

install: $(VENV)/installed

extra: install
	$(PIP) '.[$(NAME)]'

demo: $(VENV)/installed-report
	$(BIN)/freshrank demo

live: $(VENV)/installed-dev
	$(BIN)/python -m tests.support.live_demo

QUICK = not (kafka or process or browser or slow or real_log or deep)
# Which tests, such as TESTS="tests/models tests/steps". Nothing: all that are quick.
TESTS ?=

test: $(VENV)/installed-dev
	$(BIN)/pytest -n auto -m "$(QUICK)" $(TESTS)

SLOW = (slow or real_log) and not (kafka or process or browser or deep)

test-slow: $(VENV)/installed-dev
	$(BIN)/pytest -n auto -m "$(SLOW)"

# Three files at a time on two cores: these tests mostly wait for a broker or for processes of their own. The tests of a
# file share what is slow, so one worker runs them all.
test-rest: $(VENV)/installed-dev
	timeout --signal=INT --kill-after=60 1800 $(BIN)/pytest tests -n 3 --dist loadfile -m "kafka or process or browser or deep"

# Those that failed, one at a time. If the limit above ended the tests, which ones did is not known, and this fails, too.
test-rest-failed: $(VENV)/installed-dev
	timeout --signal=INT --kill-after=60 900 $(BIN)/pytest tests -n 0 --last-failed --last-failed-no-failures none \
	    -m "kafka or process or browser or deep"

test-all: test test-slow test-rest

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

check: lint types docs test test-slow

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
