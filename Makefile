# make demo: a first run; make test, make lint: what must pass; make docs: the documents as a site; make bench: how fast it
# is; make faults: what it survives, and all tests that are slow.
# Needs Python 3.11 or newer, nothing else.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt

BENCH ?=

.PHONY: demo test lint docs bench faults
.NOTPARALLEL:

demo: $(VENV)/.installed
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" bash examples/quickstart.sh

test faults: export PYTHONDONTWRITEBYTECODE =  # both workers and a hundred processes import the same files
test: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest -n auto --dist worksteal

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

bench: $(VENV)/.installed
	$(VENV)/bin/python -m benchmarks $(BENCH)

faults: $(VENV)/.installed-test
	SEQVAE_FAULTS=full $(VENV)/bin/python -m pytest -n auto --dist worksteal -q

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.installed-test $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[docs]'
	touch $@ $(VENV)/.installed
