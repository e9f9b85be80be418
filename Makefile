PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check bench docs clean

demo: .venv/demo.stamp  ## install, then run the embedded example
	$(BIN)/kotowari demo

test: .venv/dev.stamp  ## install, then run all tests
	$(BIN)/python -m pytest

check: .venv/dev.stamp  ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/dev.stamp  ## measure, beside the peers where they are installed
	$(PIP) -e ".[all,bench]"
	$(BIN)/python benchmarks/angiography.py --json benchmarks/results/angiography.json
	$(BIN)/python benchmarks/brain.py --json benchmarks/results/brain.json
	$(BIN)/python benchmarks/cytology.py --json benchmarks/results/cytology.json
	$(BIN)/python benchmarks/genenet.py --json benchmarks/results/genenet.json
	$(BIN)/python benchmarks/omics.py --json benchmarks/results/omics.json
	$(BIN)/python benchmarks/priors.py --json benchmarks/results/priors.json

docs: .venv/dev.stamp  ## build the documentation; a warning is an error
	$(PIP) -e ".[all,docs]"
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf .venv docs/_build docs/api/generated docs/gallery .pytest_cache .mypy_cache .ruff_cache

.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e ".[omics]"
	touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e ".[all,dev]"
	touch $@ .venv/demo.stamp

.venv/bin/python:
	$(PYTHON) -m venv .venv
