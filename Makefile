# Everything builds .venv first, so that each target works in a bare clone.

PYTHON ?= python3.11
RESULTS ?= results
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install sweep quickstart test test-latest speed soak lint format bench simulate reproduce clean

help:
	@echo "make install     build .venv with everything that embft needs"
	@echo "make sweep       run sweeps/lora_lr.yaml to its report"
	@echo "make quickstart  run sweeps/quickstart.yaml, about a minute"
	@echo "make test        lint, types and tests"
	@echo "make speed       the ratio against the stock recipe, in short"
	@echo "make soak        the long tests: kills, crash points, fuzz"
	@echo "make test-latest the tests with the newest versions that pyproject.toml allows"
	@echo "make lint        ruff, mypy and the rule of layers alone"
	@echo "make bench       the benchmarks, one after another; figures into docs/performance.md"
	@echo "make simulate    how often the statistics are right, up to two hours; docs/statistics.md"
	@echo "make reproduce   the study of docs/reproduction.md, from ../shared/data"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "embft needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 install"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[offline,mteb,onnx,openvino,search,dev]'
	@echo "compiling for this processor, once"
	$(BIN)/python -m compileall -q embft
	$(BIN)/python -m embft.cli.precompile
	touch $@

install: $(STAMP)

sweep: install
	$(BIN)/embft sweep sweeps/lora_lr.yaml --results $(RESULTS) --maps

quickstart: install
	$(BIN)/embft sweep sweeps/quickstart.yaml --results $(RESULTS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -n 2 --dist loadfile

test-latest:
	$(PYTHON) -m venv .venv-latest
	.venv-latest/bin/python -m pip install --quiet --upgrade --editable '.[offline,dev]'
	.venv-latest/bin/pytest -n 2 --dist loadfile

speed: install
	$(BIN)/pytest -m speed

soak: install
	$(BIN)/pytest -m long --timeout 7200

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

BENCHMARKS := memory limit stock kernels tune_sweep concurrency scale million audit_scale report_scale

bench: $(BENCHMARKS:%=bench-%)

bench-%: install
	$(BIN)/python benchmarks/$*.py

simulate: install
	$(BIN)/python benchmarks/simulate.py --minutes 200 --processes 2

reproduce: install
	$(BIN)/embft sweep sweeps/seed_study.yaml --results $(RESULTS)
	$(BIN)/python benchmarks/reproduction.py $(RESULTS)/seed-study docs/reproduction.md

clean:
	rm -rf $(VENV) .venv-latest .mypy_cache .pytest_cache .ruff_cache build *.egg-info
