# `make demo` and `make test` need Python 3.11, make and a compiler; everything else is installed into .venv.
PYTHON ?= python3
# cpu, or cuda on a GPU machine: which lock is installed
PLATFORM ?= cpu
CORES ?= $(shell nproc)
BIN := .venv/bin
READY := .venv/.ready-$(PLATFORM)

.PHONY: help demo test check style lint format lock clean

help:
	@echo "make demo     the whole pipeline on the embedded default (no GPU, no download of models or data)"
	@echo "make test     the test suite"
	@echo "make check    style, types and the fast tests: less than a minute, for every edit"
	@echo "make venv     only the environment; PLATFORM=cuda on a GPU machine"
	@echo "make lint     what CI checks besides the tests; make format mends most of it"
	@echo "make lock     resolve envs/*.in again"

demo: $(READY)
	$(BIN)/snakemake --cores $(CORES) --configfile config/demo.yaml
	@echo
	@echo "Tables   $$(ls results/demo/table?.csv | tr '\n' ' ') (each also .md and .tex)"
	@echo "Figures  results/demo/figure3.png results/demo/figure4.png (each also .pdf)"
	@echo "Report   results/demo/report.html"

test: $(READY)
	$(BIN)/pytest -n $(CORES) --dist loadfile --no-loadscope-reorder

.PHONY: venv
venv: $(READY)

# torch stands apart: its CPU and CUDA builds have one version number, and the registry decides which one comes.
$(READY): envs/$(PLATFORM).lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"Python 3.11 is needed, $(PYTHON) is {v[0]}.{v[1]}; name another one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet torch==2.13.0
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps -r envs/$(PLATFORM).lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/generalthinker schema workflow/schemas/config.schema.json # for editors: the YAML files name it
	@touch $@

check: style
	$(BIN)/pytest -q -n $(CORES) --fast --hypothesis-profile fast

style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow

lint: style
	$(BIN)/snakemake --lint --configfile config/demo.yaml

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# Needs uv (pip install uv). xgrammar asks for triton, a gigabyte that no CPU build uses.
lock:
	cd envs && UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --no-annotate --python-version 3.11 \
		--config-file cpu.toml --override overrides.txt --no-emit-package torch --no-emit-package triton base.in cpu.in -o cpu.lock
	cd envs && UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --no-annotate --python-version 3.11 \
		--python-platform x86_64-manylinux_2_28 --override overrides.txt --no-emit-package torch base.in cuda.in -o cuda.lock

clean:
	rm -rf .venv results/demo .pytest_cache .ruff_cache .mypy_cache
