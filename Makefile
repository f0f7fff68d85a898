# Every target does the set-up it needs; a second one installs nothing.
PYTHON ?=
export PYTHON
BIN := .venv/bin

.PHONY: help setup demo test lint clean

help:
	@echo "make demo    set up, train on the movie reviews, push the model, see it answer"
	@echo "make test    set up, run all tests"
	@echo "make lint    set up, ruff and mypy"
	@echo "make setup   the set-up alone: .venv with the locked packages"
	@echo "make clean   remove .venv and .bootstrap; output/ stays"

setup:
	@./bootstrap.sh

demo: setup
	$(BIN)/tfx-bert run reviews

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .bootstrap
