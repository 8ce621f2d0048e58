# Every target first sets up $(VENV) where it is missing or older than the two lists of packages.
# T2I_RUNS and T2I_DATA, in the environment or on the command line, move the outputs and the data.
PYTHON ?= python3
VENV ?= .venv
PROFILE ?= cpu
JOBS ?= 2
FAST ?=
TORCH ?=

python := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python
ready := $(VENV)/.done
site := $(VENV)/.site
pages := build/site

.PHONY: help setup course tour lab test browser-test refresh site site-test lock

help: ## these lines
	@sed -n -E 's/^([a-z-]+):.*## (.*)/make \1|\2/p' Makefile | while IFS='|' read -r name what; do \
		printf '%-14s %s\n' "$$name" "$$what"; done

setup: $(ready) ## the environment in .venv, from requirements.lock (TORCH=an index or a folder: torch from there)

# TORCH names where torch and torchvision come from instead: an index, in the lock's versions, or a folder with one wheel of
# each, in any version that pyproject.toml allows. A build for CPUs needs none of the CUDA packages.
from = $(if $(findstring ://,$(TORCH)),$(shell grep -E '^torch(vision)?==' requirements.lock) --index-url,$(shell \
	sed -nE 's/^ *("torch(vision)?>=.*"),.*/\1/p' pyproject.toml) --no-index --find-links) "$(TORCH)"
besides := /^(torch|torchvision|triton|nvidia-[^=]*|cuda-[^=]*)==/d

$(ready): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "t2i needs Python 3.11 or newer, which '$(PYTHON)' is not: install one and add PYTHON=/path/to/it." >&2; exit 1; }
	@echo "Setting up $(VENV): a few GB, several minutes, once."
	$(PYTHON) -m venv $(VENV)
ifdef TORCH
	$(python) -m pip install --no-deps $(from)
	sed -E '$(besides)' requirements.lock > $(VENV)/besides-torch.lock
	$(python) -m pip install -r $(VENV)/besides-torch.lock
	@$(python) -c 'import torchvision' || { \
		echo "The torch and the torchvision of $(TORCH) do not fit together: put two of one release there." >&2; exit 1; }
else
	$(python) -m pip install -r requirements.lock
endif
	$(python) -m pip install -e . --no-deps
	@touch $@

course: $(ready) ## every lesson in order, then the comparison table (PROFILE=smoke, cpu, night, gpu or paper)
	$(python) -m t2i course --profile $(PROFILE)

tour: $(ready) ## lesson 00 only: a first picture
	$(python) -m t2i course --profile $(PROFILE) --only 00

lab: $(ready) ## JupyterLab with the tour open; the lessons are copies of your own, in workbook/
	$(python) -m t2i lab

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

browser-test: $(ready) ## the panel, and opening a lesson, in JupyterLab in a headless Chromium
	@$(python) -c 'import selenium' 2>/dev/null || $(python) -m pip install -e '.[browser]'
	$(python) -m pytest tests/browser

refresh: $(ready) ## re-make the committed outputs of the notebooks (PROFILE=cpu, or smoke for a rehearsal)
	$(python) -m t2i refresh --profile $(PROFILE)

site: $(site) ## the course as pages in build/site, from the committed notebooks, without running them
	$(python) docs/build.py $(pages)-source
	$(python) -m sphinx -q -W --keep-going -c docs -d $(pages)-doctrees $(pages)-source $(pages)

site-test: site ## the pages in headless Chromium
	$(python) -m pytest tests/site

$(site): $(ready) requirements-site.lock
	$(python) -m pip install -r requirements-site.lock
	@touch $@

# The nvidia, cuda and triton wheels exist for Linux only, where torch asks for them; soupsieve refuses Debian 12's Python
# 3.11.2 from 3.0.2 on.
lock: ## re-make requirements.lock from a fresh environment
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(PYTHON) -m venv "$$scratch/venv" && "$$scratch/venv/bin/pip" install -e '.[test]' 'soupsieve<3.0.2' && \
	"$$scratch/venv/bin/pip" freeze --all --exclude pip --exclude-editable > "$$scratch/pins" && \
	"$$scratch/venv/bin/pip" install -c "$$scratch/pins" -e '.[site]' && \
	"$$scratch/venv/bin/pip" freeze --all --exclude pip --exclude-editable > "$$scratch/all" && { \
		echo '# Made by `make lock`. The one list of dependencies is in pyproject.toml.'; \
		sed -E '/^(nvidia-|cuda-|triton=)/s/$$/ ; sys_platform == "linux"/' "$$scratch/pins"; } > requirements.lock && { \
		echo '# Made by `make lock`: what the extra "site" needs beyond requirements.lock.'; \
		grep -vxFf "$$scratch/pins" "$$scratch/all"; } > requirements-site.lock
