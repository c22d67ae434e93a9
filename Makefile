# On a fresh machine with Python 3.10 to 3.13, each of these does all it needs:
#   make demo    train on the embedded digits, plot, export, check the export
#   make test    linters, types, tests, doctests, tutorials
#   make kernels compile the C++ kernels again, which the others do on their own

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

KERNELS = build_kernels.py $(wildcard slayerloss/kernels/cpu/src/*)

.PHONY: demo test lint slow docs wheel kernels bench clean

demo: $(VENV)/.demo
	$(BIN)/slayerloss demo

test: lint
	$(BIN)/python -m pytest -m "not slow" -n 2

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

wheel: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist

kernels:
	$(PYTHON) build_kernels.py

bench: $(VENV)/.dev
	for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark || exit 1; done

clean:
	rm -rf $(VENV) build dist *.egg-info slayerloss/kernels/cpu/_kernels.* docs/_build docs/reference/generated

# The kernels, whenever one of their sources has changed; without a compiler, a warning and no kernels.
$(VENV)/.kernels: $(VENV)/.made $(KERNELS)
	$(BIN)/python build_kernels.py --optional
	touch $@

# The virtual environment, in the size that is asked for; each stamp says what has been installed.
$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.made setup.py pyproject.toml constraints.txt | $(VENV)/.kernels
	$(PIP_INSTALL) --editable ".[all]"
	touch $@

$(VENV)/.dev: $(VENV)/.made setup.py pyproject.toml constraints.txt | $(VENV)/.kernels
	$(PIP_INSTALL) --editable ".[dev]"
	touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(PIP_INSTALL) --editable ".[dev,docs]"
	touch $@
