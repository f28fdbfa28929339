# make run, make test: each sets up what it needs first; called again, nothing is installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# One thread for BLAS: its bits depend on the number of threads (notebook outputs are compared).
export OPENBLAS_NUM_THREADS := 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: run test lint soak mutants notebooks readme lab ui lock bench bench-models bench-cluster clean
.DEFAULT_GOAL := run

# uv where it is installed, because it is ten times as fast; else pip. Modules are compiled at once,
# or every process would pay for it again.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v[:2] >= (3, 11) else "mflib needs Python 3.11 or newer, $(PYTHON) is %d.%d: make PYTHON=python3.12" % v[:2])'
	@if command -v uv >/dev/null; then \
	  uv venv -q --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV) && \
	  uv pip install -q --python $(BIN)/python --compile-bytecode -r requirements.txt && \
	  uv pip install -q --python $(BIN)/python --no-deps -e . ; \
	else \
	  $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt && \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e . ; \
	fi
	@touch $(READY)

run: $(READY)
	$(BIN)/mflib run params/default.yaml

# The random problems of the proofs are new every day; SEED=20261123 repeats those of that day.
SEED ?= $(shell date +%Y%m%d)

test: lint
	$(BIN)/mflib verify --seed $(SEED)
	$(BIN)/python -m pytest -m "not soak" -n 2 --dist loadfile
	$(BIN)/python -m pytest -p no:cacheprovider --nbval --nbval-current-env --nbval-cell-timeout=120 \
	  -n 2 --dist loadfile notebooks

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

soak: $(READY)
	$(BIN)/python -m pytest -m soak

# Change the mathematics in one place, for every place: some test must fail. Long: a process for each.
mutants: $(READY)
	$(BIN)/python tests/mutants

# One clean run of each from top to bottom; only then is the stored output replaced.
notebooks: $(READY)
	$(BIN)/python -m mflib.runs.refresh notebooks/*.ipynb

# the pictures and the tables of README; those of speed are from docs/speed.json, a copy of what
# `make bench` wrote to benchmarks/results/evaluation.json, those of models from docs/models.json, a copy of
# what `make bench-models` wrote to benchmarks/results/models.json; and docs/scaling.md from docs/cluster.json
readme: $(READY)
	$(BIN)/python docs/readme.py

lab: $(READY)
	$(BIN)/jupyter lab --ip=127.0.0.1 notebooks

ui: $(READY)
	$(BIN)/mflib ui

# The peers are measured in an environment of their own: mflib needs none of them.
BENCH := .venv-bench
BENCH_READY := $(BENCH)/.ready

$(BENCH_READY): requirements.txt pyproject.toml benchmarks/requirements.txt
	@if command -v uv >/dev/null; then \
	  uv venv -q --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(BENCH) && \
	  uv pip install -q --python $(BENCH)/bin/python --compile-bytecode -r requirements.txt \
	    -r benchmarks/requirements.txt && \
	  uv pip install -q --python $(BENCH)/bin/python --no-deps -e . ; \
	else \
	  $(PYTHON) -m venv $(BENCH) && \
	  $(BENCH)/bin/python -m pip install -q --disable-pip-version-check -r requirements.txt \
	    -r benchmarks/requirements.txt && \
	  $(BENCH)/bin/python -m pip install -q --disable-pip-version-check --no-deps -e . ; \
	fi
	@touch $(BENCH_READY)

bench: $(READY) $(BENCH_READY)
	$(BENCH)/bin/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/building.py
	$(BIN)/python benchmarks/lecture_loop.py
	$(BIN)/python benchmarks/workflow.py

# LIBMF's programs are taken from PATH, or MF_TRAIN names its mf-train; who is not there is left out.
bench-models: $(BENCH_READY)
	$(BENCH)/bin/python benchmarks/models.py

# two worker processes against one process; with docs/cluster.json, a copy of what it wrote to
# benchmarks/results/cluster.json, `make readme` makes docs/scaling.md
bench-cluster: $(READY)
	$(BIN)/python benchmarks/cluster.py

# universal: one file for every Python from 3.11 on
lock:
	uv pip compile pyproject.toml --all-extras --universal --fork-strategy fewest --no-annotate --quiet \
	  --upgrade --custom-compile-command "make lock" --output-file requirements.txt

clean:
	rm -rf $(VENV) $(BENCH) .pytest_cache .ruff_cache
