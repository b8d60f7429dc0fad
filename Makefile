# `make demo` and `make test` are all that anyone types; each makes .venv and installs what it needs, once.
VENV := .venv
BIN := $(VENV)/bin
DEMO := $(VENV)/.demo
STAMP := $(VENV)/.installed
PIP = $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable
PYTHON ?= python3

.PHONY: install check format test test-all coverage prove bench bench-quick demo docs clean

install: $(STAMP)

# What a person needs who trains, labels and reviews here; developers' tools, servers for tests, MLflow and S3 are more.
$(DEMO): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Hangtag needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(PIP) '.[train,worker,web,demo]'
	touch $@

$(STAMP): $(DEMO)
	$(PIP) '.[train,worker,web,s3,demo,mlflow,dev]'
	touch $@

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint docker/*.Dockerfile
	$(BIN)/zensical build --strict

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Hundreds of processes start in a test run: none should compile Hangtag anew.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses auto --maxprocesses 6 --dist worksteal

# Every unit test, one of each kind of the others, and the main job; `make test-all` runs the rest.
test: install
	tests/install_system_packages.sh
	$(PYTEST) -m "not rest and not proof"

test-all: install
	tests/install_system_packages.sh
	$(PYTEST) -m "rest and not proof"

coverage: install
	tests/install_system_packages.sh
	$(BIN)/python -m coverage run -m pytest -m "not proof"
	$(BIN)/python -m coverage report --skip-covered --sort=cover

prove: install
	tests/install_system_packages.sh
	$(BIN)/python -m pytest -m proof
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile thorough
	for seed in 0 1 2 3 4 5 6 7 8 9; do $(BIN)/python benchmarks/chaos.py --seed $$seed --material .prove || exit 1; done
	$(BIN)/python benchmarks/architectures.py
	$(BIN)/python benchmarks/feeding.py
	$(BIN)/python benchmarks/checking.py
	$(BIN)/python benchmarks/gate.py
	$(BIN)/python benchmarks/nightly.py
	$(BIN)/python benchmarks/downloads.py rate
	$(BIN)/python benchmarks/downloads.py everything
	$(BIN)/python benchmarks/web_load.py
	$(BIN)/python benchmarks/worker_memory.py --out .prove/memory.png

# 40 minutes on two cores that do nothing else. What it draws, trains and installs stays in .bench: the first run takes
# 10 minutes more. ONLY=bulk,guard measures two parts, and the others stay as they were.
bench: install
	tests/install_system_packages.sh
	$(BIN)/python benchmarks/bench.py $(if $(ONLY),--only $(ONLY))

bench-quick: install
	tests/install_system_packages.sh
	$(BIN)/python benchmarks/bench.py --quick

demo: $(DEMO)
	$(BIN)/hangtag demo

# The manual, as a site in .site; any server of files shows it.
docs: install
	$(BIN)/python docs/commands.py
	$(BIN)/zensical build --clean --strict

clean:
	rm -rf $(VENV) demo .prove .bench .site .cache .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
