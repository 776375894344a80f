# Everything builds .venv first, so that each target works in a bare clone.

PYTHON ?= python3.11
RESULTS ?= results
VENV := .venv
BIN := $(VENV)/bin
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder
STAMP := $(VENV)/.installed
EXTRAS := offline,ann,mteb,onnx,openvino,search,dev
# Elsewhere than in the newest versions, since a plain upgrade may bring gigabytes for GPUs.
TORCH := torch==2.13.0

.DEFAULT_GOAL := help
.PHONY: help install sweep quickstart test test-latest speed soak lint format docs sbom bench simulate \
	reproduce clean

help:
	@echo "make install     build .venv with everything that embft needs"
	@echo "make sweep       run sweeps/lora_lr.yaml to its report"
	@echo "make quickstart  run sweeps/quickstart.yaml, about a minute"
	@echo "make test        lint, types and tests"
	@echo "make speed       the ratio against the stock recipe, in short"
	@echo "make soak        the long tests: kills, crash points, fuzz"
	@echo "make test-latest the tests with the newest versions that pyproject.toml allows, of torch the same"
	@echo "make lint        ruff, mypy and the rule of layers alone"
	@echo "make docs        the documentation as a site in site/"
	@echo "make sbom        build/sbom.json, every package with version and licence; docs/licences.md"
	@echo "make bench       the benchmarks, one after another; figures into docs/performance.md"
	@echo "make bench-start from the command to the first step; bench-busy: beside other programs"
	@echo "make simulate    how often the statistics are right, up to two hours; docs/statistics.md"
	@echo "make reproduce   the study of docs/reproduction.md, from ../shared/data"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "embft needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 install"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
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
	$(BIN)/pytest $(SIDE_BY_SIDE)

test-latest:
	$(PYTHON) -m venv .venv-latest
	.venv-latest/bin/python -m pip install --quiet $(TORCH)
	.venv-latest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager \
		$(TORCH) --editable '.[$(EXTRAS)]'
	.venv-latest/bin/pytest $(SIDE_BY_SIDE)

speed: install
	$(BIN)/pytest -m speed

soak: install
	$(BIN)/pytest -m long --timeout 7200

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

# In an environment of its own: beside Ray, what the tool brings makes each import of Ray a second slower.
sbom: install
	$(PYTHON) -m venv .venv-sbom
	.venv-sbom/bin/python -m pip install --quiet --constraint constraints.txt cyclonedx-bom
	mkdir -p build
	.venv-sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library \
		--output-reproducible --output-file build/sbom.json $(BIN)/python
	$(BIN)/python docs/licences.py build/sbom.json
	@echo "build/sbom.json, docs/licences.md"

BENCHMARKS := start busy memory limit stock families kernels tune_sweep concurrency scale million retrieval_scale audit_scale report_scale

bench: $(BENCHMARKS:%=bench-%)

bench-%: install
	$(BIN)/python benchmarks/$*.py

simulate: install
	$(BIN)/python benchmarks/simulate.py --minutes 200 --processes 2

reproduce: install
	$(BIN)/embft sweep sweeps/seed_study.yaml --results $(RESULTS)
	$(BIN)/python benchmarks/reproduction.py $(RESULTS)/seed-study docs/reproduction.md

clean:
	rm -rf $(VENV) .venv-latest .venv-sbom .mypy_cache .pytest_cache .ruff_cache build site *.egg-info
