# On a fresh machine with Python 3.10 to 3.13, each of these does all it needs:
#   make demo    train on the embedded digits, plot, export, check the export
#   make test    linters, types, tests, doctests, tutorials
#   make bench   time it beside other libraries, and write the page that says so
#   make kernels compile the C++ kernels again, which the others do on their own

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PEERS = .venv-peers
SLAYER = .venv-slayer
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

KERNELS = build_kernels.py $(wildcard slayerloss/kernels/cpu/src/*)

.PHONY: demo test lint slow docs wheel kernels bench bench-quick bench-training clean

demo: $(VENV)/.demo
	$(BIN)/slayerloss demo

test: lint
	$(BIN)/python -m pytest -m "not slow" -n 2

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile  # a module's tests share what it compiles

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

wheel: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist

kernels:
	$(PYTHON) build_kernels.py

# Writes benchmarks/results.json and docs/benchmarks.md; the machine should have nothing else to do. What a peer's installer
# says against it is no error: the tables name those that are missing, and why.
bench: $(VENV)/.dev $(PEERS)/.made $(SLAYER)/.asked
	$(BIN)/python benchmarks/run.py --save
	$(BIN)/python benchmarks/import_time.py
	if [ -d ../shared/golden/netx ]; then $(BIN)/python benchmarks/netx_speed.py; fi

bench-quick: $(VENV)/.dev $(PEERS)/.made $(SLAYER)/.asked
	$(BIN)/python benchmarks/run.py --rounds 2

bench-training: $(VENV)/.dev $(SLAYER)/.asked
	$(BIN)/python benchmarks/run.py --only training

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

# What slayerloss is timed against.
$(PEERS)/.made: benchmarks/requirements.txt benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements.txt
	grep -v '^#' benchmarks/peers.txt | while read peer; do \
	    $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $$peer || echo "not installed: $$peer"; \
	done
	touch $@

$(SLAYER)/.asked:
	if [ -x ../shared/tools/slayer_env.sh ]; then ../shared/tools/slayer_env.sh $(SLAYER); \
	elif command -v python3.10 > /dev/null; then \
	    python3.10 -m venv $(SLAYER) && $(SLAYER)/bin/python -m pip install --quiet lava-dl==0.6.0; \
	else echo "lava-dl: not installed, it needs Python 3.10"; fi || echo "lava-dl: not installed"
	mkdir -p $(SLAYER) && touch $@
