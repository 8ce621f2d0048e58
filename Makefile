# Every target first sets up $(VENV) where it is missing or older than the two lists of packages.
# T2I_RUNS and T2I_DATA, in the environment or on the command line, move the outputs and the data.
PYTHON ?= python3
VENV ?= .venv
PROFILE ?= cpu
JOBS ?= 2
FAST ?=

python := $(VENV)/bin/python
ready := $(VENV)/.done

.PHONY: help setup course tour test refresh lock

help: ## these lines
	@sed -n -E 's/^([a-z]+):.*## (.*)/make \1|\2/p' Makefile | while IFS='|' read -r name what; do \
		printf '%-14s %s\n' "$$name" "$$what"; done

setup: $(ready) ## the environment in .venv, from requirements.lock

$(ready): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "t2i needs Python 3.11 or newer, which '$(PYTHON)' is not: install one and add PYTHON=/path/to/it." >&2; exit 1; }
	@echo "Setting up $(VENV): a few GB, several minutes, once."
	$(PYTHON) -m venv $(VENV)
	$(python) -m pip install -r requirements.lock
	$(python) -m pip install -e . --no-deps
	@touch $@

course: $(ready) ## every lesson in order, then the comparison table (PROFILE=smoke, cpu, night, gpu or paper)
	$(python) -m t2i course --profile $(PROFILE)

tour: $(ready) ## lesson 00 only: a first picture
	$(python) -m t2i course --profile $(PROFILE) --only 00

# What takes longest begins first: nbval over the solutions, and the papermill chain (tests/notebooks/test_chain.py), which
# compares the lessons' checked cells as nbval does. FAST leaves out both, the values of the official code, and what is
# marked slow. Each test that is large allocates and frees the same hundreds of megabytes again and again: glibc is told
# to keep them, which saves it from clearing every page anew.
all := --nbval-lax --nbval-current-env --nbval-cell-timeout 600 --nbval-sanitize-with notebooks/sanitize.cfg \
	notebooks/solutions tests/notebooks tests/parity tests/unit tests/faults
fast := -m "not slow" tests/notebooks tests/unit tests/faults

test: $(ready) ## ruff, pytest, the papermill chain and nbval, in a scratch workspace (FAST=1: the quick part)
	$(python) -m ruff check
	$(python) -m ruff format --check
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && export OMP_NUM_THREADS=1 TQDM_DISABLE=1 && \
	export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=1073741824 && \
	export T2I_PROFILE=smoke && \
	export T2I_RUNS="$${T2I_RUNS:-$$scratch/runs}" T2I_DATA="$${T2I_DATA:-$$scratch/data}" && set -x && \
	$(python) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(if $(FAST),$(fast),$(all))

refresh: $(ready) ## re-make the committed outputs of the notebooks (PROFILE=cpu, or smoke for a rehearsal)
	$(python) -m t2i refresh --profile $(PROFILE)

# The nvidia, cuda and triton wheels exist for Linux only, where torch asks for them.
lock: ## re-make requirements.lock from a fresh environment
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(PYTHON) -m venv "$$scratch/venv" && "$$scratch/venv/bin/pip" install -e '.[test]' && \
	"$$scratch/venv/bin/pip" freeze --all --exclude pip --exclude-editable > "$$scratch/pins" && { \
		echo '# Made by `make lock`. The one list of dependencies is in pyproject.toml.'; \
		sed -E '/^(nvidia-|cuda-|triton=)/s/$$/ ; sys_platform == "linux"/' "$$scratch/pins"; } > requirements.lock
