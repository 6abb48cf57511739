# `make demo` and `make test` set up everything they need; the first takes a few minutes for the downloads.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types unit soak docs dist clean

demo: $(VENV)/.installed
	$(BIN)/camoe-demo

test: lint types unit

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy cannot follow setup.cfg's mapping of folders to camoe.*, so it sees the package as a folder of links.
types: $(VENV)/.installed-test
	rm -rf build/types/camoe && mkdir -p build/types/camoe
	cd build/types/camoe && ln -s "$(CURDIR)"/pipeline/root/* \
		"$(CURDIR)"/pipeline "$(CURDIR)"/extract "$(CURDIR)"/train "$(CURDIR)"/evaluate .
	cd build/types && $(abspath $(BIN))/mypy --config-file ../../pyproject.toml -p camoe

unit: $(VENV)/.installed-test
	$(BIN)/pytest

# The attacks that `make test` samples (kills, mutants, drawn sequences of commands), in full.
soak: $(VENV)/.installed-test
	CAMOE_SOAK=1 $(BIN)/pytest -m soak

# The pages as a site, in site/; a link that leads nowhere is an error.
docs: $(VENV)/.installed-docs
	$(BIN)/mkdocs build --strict --quiet

# Wheel and sdist in dist/, checked; the wheel is installed afresh and used. DIST="--reuse $(BIN)/python" saves the downloads.
dist: $(VENV)/.installed-dist
	rm -rf dist && $(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/python .ci/check_dist.py dist $(DIST)

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@

$(VENV)/.installed-dist: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[dist]'
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
