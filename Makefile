# make demo: a first run; make test, make lint: what must pass; make docs: the documents as a site; make bench: how fast it
# is; make faults: what it survives, and all tests that are slow.
# Needs Python 3.11 or newer, nothing else.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip

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

# PYTHON counts where there is no .venv yet, or its Python is gone, as after an upgrade.
$(shell test -x $(VENV)/bin/python || rm -rf $(VENV))
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The .venv of uv has no pip.
define install
@$(PIP) --version > /dev/null 2>&1 || $(VENV)/bin/python -m ensurepip > /dev/null
$(PIP) install -q --disable-pip-version-check -c constraints.txt -e '.$(1)'
endef

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(call install)
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(call install,[test])
	touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(call install,[dev])
	touch $@ $(VENV)/.installed-test $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(call install,[docs])
	touch $@ $(VENV)/.installed
