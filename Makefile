# The commands of this project; `make` or `make help` lists them.

PYTHON ?= python3
STUDY ?= quick
ARGS ?=

VENV := .venv
STAMP := $(VENV)/installed
UV := $(VENV)/bin/python -m uv
UV_VERSION := 0.13.9
INSTALL := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip
ROOMS := study records heads training curvature analyses report
FAST := $(ROOMS:%=tests/%) tests/test_architecture.py moelib
RUN := $(VENV)/bin/python workflow/run
# What a user types as STUDY, as one word of the shell, whatever is in it.
NAME = '$(subst ','\'',$(value STUDY))'

export OMP_NUM_THREADS ?= 1
unexport STUDY  # to be exported, make would expand it

.DEFAULT_GOAL := help
.PHONY: help install book pdf study lab test test-fast lint benchmarks lock clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  STUDY="$(NAME)"  name of a study in studies/, for 'make study'"
	@echo "  MINUTES=...  of 'make study': make the records that this time allows, seed by seed, and stop"
	@echo "  ARGS=\"...\"   further arguments for Snakemake, such as -n (only list what would run)"
	@echo "               or --workflow-profile workflow/profiles/slurm (run on a cluster)"
	@echo "  PYTHON=...   the Python >= 3.11 from which 'make install' makes .venv"

install: $(STAMP)  ## make .venv with the locked packages (the others do this by themselves)

book: $(STAMP)  ## run the study 'quick', render the book, print the page to open
	@$(RUN) book $(ARGS)

pdf: book  ## print the book: _build/report.pdf (needs Chromium or Chrome)
	@$(VENV)/bin/python workflow/pdf

study: $(STAMP)  ## run every notebook of STUDY, for each head and seed
	@$(if $(MINUTES),$(VENV)/bin/python workflow/fill $(NAME) --minutes $(MINUTES),$(RUN) study $(NAME)) $(ARGS)

lab: $(STAMP)  ## open the notebooks in JupyterLab
	$(VENV)/bin/python -m jupyterlab

test: $(STAMP)  ## run the tests
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile

test-fast: $(STAMP)  ## run the tests of a minute, for after each edit
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile -m "not slow" $(FAST)

lint: $(STAMP)  ## check style and import order
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .

benchmarks: $(STAMP)  ## time this code beside the straightforward way; write records
	for script in benchmarks/*.py; do $(VENV)/bin/python $$script || exit 1; done

lock: $(STAMP)  ## resolve requirements.lock anew from pyproject.toml
	$(UV) pip compile --universal --python-version 3.11 --all-extras --quiet \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock

# .snakemake stays too: without it the graph executes every notebook again, though only to show what
# is there, since a record itself tells whether it is up to date.
clean:  ## remove .venv and the rendered book (_build); results/ stays
	rm -rf $(VENV) _build

# The environment is made anew when the lock or pyproject.toml changes, and holds what is locked,
# pip, uv and this project: `sync` takes all else away, the project too, which is then put there.
# The stamp comes last, so an installation that was cut short starts again with the next command.
# One at a time: a second make waits, and looks again at whether there is anything left to do.
ifndef ALONE
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is \
	needed, and $(PYTHON) is " + sys.version.split()[0] + ": name another one, as in PYTHON=python3.12 make book")'
	@$(PYTHON) workflow/alone .install.lock $(MAKE) --no-print-directory --quiet ALONE=yes $(STAMP)
else
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(INSTALL) sync --compile-bytecode requirements.lock
	$(INSTALL) install --no-deps --no-build-isolation --editable .
	touch $(STAMP)
endif
