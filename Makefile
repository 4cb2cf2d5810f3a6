# setup   a virtual environment with everything, Tesseract included
# demo    from the example's pictures to a trained tagger and its report
# test    set up what is missing, then run the tests
# lint    style and types
# bench   what it costs, beside a peer
# docs    check the links between the pages

SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export TOKENIZERS_PARALLELISM ?= false

.PHONY: setup demo test lint bench docs clean
.DEFAULT_GOAL := setup

setup: $(READY)
	@scripts/system-packages.sh $(BIN)/python

$(READY): pyproject.toml constraints.txt
	python3 -c 'import sys; assert sys.version_info >= (3, 11), "ita-pipeline needs Python 3.11 or newer"'
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bundled,test,lint,bench]'
	@touch $@

demo: setup
	$(BIN)/ita extract examples/posts/images --preset bundled
	$(BIN)/ita train --dataset example --preset bundled

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: setup
	$(BIN)/python -m benchmarks

docs: setup
	$(BIN)/python scripts/check_links.py README.md docs

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
