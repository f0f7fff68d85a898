# Every target does the set-up it needs; a second one installs nothing.
PYTHON ?=
export PYTHON
BIN := .venv/bin

.PHONY: help setup demo test lint clean bench-tasks

help:
	@echo "make demo    set up, train on the movie reviews, push the model, see it answer;"
	@echo "             TASK=multiclass, ner or qa for another task than binary classification"
	@echo "make test    set up, run all tests"
	@echo "make lint    set up, ruff and mypy"
	@echo "make bench-tasks DATA=... [PEER=...]   the tasks on public data, beside a peer: benchmarks/README.md"
	@echo "make setup   the set-up alone: .venv with the locked packages"
	@echo "make clean   remove .venv and .bootstrap; output/ stays"

setup:
	@./bootstrap.sh

# TASK: binary, multiclass, ner or qa
TASK ?= binary
CONFIG_binary := reviews
CONFIG_multiclass := genres
CONFIG_ner := entities
CONFIG_qa := answers

demo: setup
	@test -n "$(CONFIG_$(TASK))" || { echo "make demo: TASK is $(TASK); it is binary, multiclass, ner or qa"; exit 1; }
	$(BIN)/tfx-bert run $(CONFIG_$(TASK))

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# DATA: a folder with the data sets that benchmarks/README.md names; PEER: the peer environment's python
WORK ?= output/benchmarks
bench-tasks: setup
	$(BIN)/python benchmarks/tasks.py --data $(DATA) --work $(WORK) $(if $(PEER),--peer $(PEER))

clean:
	rm -rf .venv .bootstrap
