SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
FLAIR := .venv-flair
RAPIDOCR := .rapidocr
AUDIT := .venv-audit
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
EXTRAS := bundled,demo

.PHONY: help setup setup-dev demo test lint crash reliability audit bench docs wheel-test clean
.DEFAULT_GOAL := help

help:  ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## create .venv with what users need, and install Tesseract

setup-dev: $(READY_DEV)  ## add what tests, checks, benchmarks and the site need

$(READY): pyproject.toml constraints.txt scripts/install.py scripts/system-packages.sh
	@scripts/system-packages.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python scripts/install.py $(PYTHON) $(EXTRAS)
	@touch $@

$(READY_DEV): $(READY)
	$(BIN)/python scripts/install.py $(PYTHON) $(EXTRAS),ray,s3,spacy,test,lint,docs,bench
	@touch $@

demo: setup  ## extract the example images, train a tagger, and write its report
	$(BIN)/ita extract examples/posts/images --preset bundled
	$(BIN)/ita train --dataset example --preset bundled

test: setup-dev $(RAPIDOCR)/.ready  ## run the tests, after setting up what is missing
	@scripts/browser.sh
	PYTHONPATH=$(CURDIR)/$(RAPIDOCR) $(BIN)/python -c "import rapidocr"
	PYTHONPATH=$(CURDIR)/$(RAPIDOCR) $(BIN)/python -m pytest tests/stages/ocr/test_rapidocr.py
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: setup-dev  ## check style, words, types, imports, stage versions and reference pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md docs ita_pipeline stages examples configs scripts benchmarks
	$(BIN)/pyright
	$(BIN)/python scripts/stage_versions.py
	$(BIN)/python scripts/reference.py --check

crash: setup-dev  ## kill extraction 200 times, and check that nothing is lost
	ITA_CRASH_KILLS=200 $(BIN)/python -m pytest tests/robustness/test_crash.py

SEED ?= 1
TIMES ?= 20

reliability: setup-dev  ## repeat the trials of docs/reliability.md, with SEED=n TIMES=n
	PYTHONPATH=$(CURDIR) $(BIN)/python -m tests.robustness.trials --seed $(SEED) --times $(TIMES)
	ITA_INDEX_SEED=$(SEED) ITA_INDEX_DAMAGES=$(TIMES) ITA_HOSTILE_SEED=$(SEED) ITA_CRASH_KILLS=$(TIMES) \
		$(BIN)/python -m pytest tests/robustness

audit:  ## look for known vulnerabilities in the versions of constraints.txt (needs the network)
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet pip-audit
	@# Without --strict, packages that the service does not answer for would pass.
	@$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt \
		|| { echo "audit failed: a version above is vulnerable, or the advisory service did not answer for all of them" >&2; exit 1; }

bench: setup-dev $(PEERS)/.ready $(FLAIR)/.ready  ## measure speed and memory beside a peer
	$(BIN)/python -m benchmarks

# Beside the environment, since what it needs would take the place of what others need there.
$(RAPIDOCR)/.ready: scripts/rapidocr-requirements.txt $(READY_DEV)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(RAPIDOCR) --requirement $<
	@touch $@

# DVC is a peer in the benchmarks only, and has an environment of its own: it pins what we do not.
$(PEERS)/.ready:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --upgrade pip
	$(PEERS)/bin/python -m pip install --quiet 'dvc>=3.60'
	@touch $@

# So is Flair, which needs an older transformers.
$(FLAIR)/.ready: benchmarks/flair-requirements.txt
	$(PYTHON) -m venv $(FLAIR)
	$(FLAIR)/bin/python -m pip install --quiet --upgrade pip
	$(FLAIR)/bin/python -m pip install --quiet --requirement benchmarks/flair-requirements.txt
	@touch $@

docs: setup-dev  ## build the site in site/, and check links
	$(BIN)/python scripts/reference.py --check
	$(BIN)/python scripts/check_links.py README.md CONTRIBUTING.md CHANGELOG.md docs examples
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "the site is in site/: $(PYTHON) -m http.server --bind 127.0.0.1 --directory site"

wheel-test: setup-dev  ## build the wheel, install it into an empty environment, and extract
	$(BIN)/python scripts/wheel_test.py

clean:  ## remove everything that these targets create
	rm -rf $(VENV) $(PEERS) $(FLAIR) $(RAPIDOCR) $(AUDIT) dist site .pytest_cache .ruff_cache .hypothesis
