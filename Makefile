# `make demo` and `make test` set up everything they need; the first takes a few minutes for the downloads.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types links unit soak bench hooks docs dist clean

demo: $(VENV)/.installed
	$(BIN)/camoe-demo

test: lint types unit

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test links
	cd build/types && $(abspath $(BIN))/mypy --config-file ../../pyproject.toml -p camoe

# mypy and mkdocstrings cannot follow setup.cfg's mapping of folders to camoe.*, so they see a folder of links.
links:
	rm -rf build/types/camoe && mkdir -p build/types/camoe
	cd build/types/camoe && ln -s "$(CURDIR)"/pipeline/root/* \
		"$(CURDIR)"/pipeline "$(CURDIR)"/extract "$(CURDIR)"/train "$(CURDIR)"/evaluate .

# A process a core, up to four; a file's tests stay together. More threads in each would only wait for one another.
unit: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# The attacks that `make test` samples (kills, mutants, drawn sequences of commands), in full.
soak: $(VENV)/.installed-test
	CAMOE_SOAK=1 $(BIN)/pytest -m soak

# Every benchmark at a size that ends in ten minutes on two cores, in one table. VIDEOS=folder and CAPTIONS=file are taken
# instead of rendered clips and the demo's captions. Let the machine do nothing else.
bench: $(VENV)/.installed-test
	$(BIN)/python benchmarks/everything.py $(if $(VIDEOS),--videos "$(VIDEOS)") $(if $(CAPTIONS),--captions "$(CAPTIONS)")

# The linters before every commit (.pre-commit-config.yaml).
hooks: $(VENV)/.installed-test
	$(BIN)/pip install --quiet pre-commit
	$(BIN)/pre-commit install

# The pages as a site, in site/; a link that leads nowhere is an error. (With --quiet, --strict would miss warnings.)
docs: $(VENV)/.installed-docs links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

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
