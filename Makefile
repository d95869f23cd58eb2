# `make demo` and `make test` need Python 3.11, make, a compiler and libnuma; everything else is installed into .venv.
PYTHON ?= python3
# the lock that is installed: cpu, or cuda on a machine with GPUs
PLATFORM ?= cpu
# nproc would answer with OMP_NUM_THREADS where that is set
CORES ?= $(shell env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
BIN := .venv/bin
READY := .venv/.ready-$(PLATFORM)

# the check of the interpreter, before an environment is made of it
CHECK_PYTHON = @$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"Python 3.11 is needed, $(PYTHON) is {v[0]}.{v[1]}; choose another interpreter: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)")'

# vLLM's CPU build is linked to this library, which no Python package brings
CHECK_LIBRARIES_cpu = @$(PYTHON) -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null || { echo "libnuma.so.1 is needed by vLLM's CPU build and was not found; install it, on Debian and Ubuntu with: apt-get install libnuma1" >&2; exit 1; }

.PHONY: help demo rehearsal test thorough recovery bench check-benchmarks check style lint format lock clean

help:
	@echo "make demo     run the whole pipeline with the embedded default (no GPU, no download of models or data)"
	@echo "make rehearsal  run the paper's configuration with random models, few steps and few questions"
	@echo "make test     run the tests"
	@echo "make thorough run the longest end-to-end tests, which make test leaves out"
	@echo "make recovery run the long tests of a sweep on a real SLURM while things break; needs root and SLURM"
	@echo "make bench    measure speed against TRL, bare vLLM and the targets; leave the machine alone meanwhile"
	@echo "make check-benchmarks  run every program of benchmarks/ in brief: does it still work?"
	@echo "make check    run style checks, type checks and the fast tests, in about a minute"
	@echo "make venv     only install the environment; PLATFORM=cuda on a machine with GPUs"
	@echo "make lint     run all checks of CI except the tests; make format fixes most problems"
	@echo "make inspect  install Inspect, a viewer of responses, into an environment of its own"
	@echo "make trackers add TensorBoard and Trackio to .venv, for training.report_to"
	@echo "make lock     resolve envs/*.in again"

demo: $(READY)
	$(BIN)/snakemake --cores $(CORES) --configfile config/demo.yaml
	@echo
	@echo "Tables   $$(ls results/demo/table?.csv | tr '\n' ' ') (each also .md and .tex)"
	@echo "Figures  results/demo/figure3.png results/demo/figure4.png (each also .pdf)"
	@echo "Report   results/demo/report.html"

# The paper's configuration in small (config/rehearsal.yaml); CROSSTHINK is one of src/generalthinker/data/crossthink_schemas.py.
# Without the two variables, glibc gives the memory of every large tensor back to the system, which takes long
# (docs/performance.md).
CROSSTHINK ?= verl-inline
rehearsal: export MALLOC_MMAP_MAX_ = 0
rehearsal: export MALLOC_TRIM_THRESHOLD_ = -1
rehearsal: $(READY)
	$(BIN)/generalthinker stand-ins results/rehearsal/mirror --crossthink $(CROSSTHINK)
	$(BIN)/snakemake --cores $(CORES) --configfile config/config.yaml config/rehearsal.yaml
	@echo
	@echo "Tables   $$(ls results/rehearsal/table?.csv | tr '\n' ' ') (each also .md and .tex)"
	@echo "Figures  results/rehearsal/figure3.png results/rehearsal/figure4.png (each also .pdf)"
	@echo "Audit    results/rehearsal/audit.md: every cell beside the paper's value; the numbers mean nothing"

test: $(READY)
	$(BIN)/pytest -n $(CORES) --dist loadfile --no-loadscope-reorder

thorough: $(READY)
	$(BIN)/pytest -n $(CORES) -m thorough

.PHONY: venv
venv: $(READY)

# torch is installed separately: its CPU and CUDA builds share one version, and the package index decides between them.
$(READY): envs/$(PLATFORM).lock pyproject.toml
	$(CHECK_PYTHON)
	$(CHECK_LIBRARIES_$(PLATFORM))
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet torch==2.13.0
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps -r envs/$(PLATFORM).lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/generalthinker schema workflow/schemas/config.schema.json # for editors: the YAML files refer to it
	@touch $@

# Inspect's viewer of responses is an option with an environment of its own (docs/responses.md).
.PHONY: inspect
inspect: .venv-inspect/.ready

.venv-inspect/.ready: envs/inspect.lock pyproject.toml
	$(CHECK_PYTHON)
	$(PYTHON) -m venv .venv-inspect
	.venv-inspect/bin/pip install --disable-pip-version-check --quiet --no-deps -r envs/inspect.lock
	.venv-inspect/bin/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Into .venv, whatever its platform: trainings import them (docs/use.md).
.PHONY: trackers
trackers:
	@test -x $(BIN)/pip || { echo "There is no .venv yet: run make venv (PLATFORM=cuda on a machine with GPUs) first"; exit 1; }
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps -r envs/trackers.lock

recovery: $(READY)
	$(BIN)/pytest -m recovery tests/test_slurm.py tests/test_slurm_recovery.py

bench: $(READY)
	$(BIN)/python benchmarks/bench.py

check-benchmarks: $(READY)
	$(BIN)/pytest -m benchmark tests/test_benchmarks.py

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

# Needs uv (pip install uv). cpu.lock leaves out triton (1 GB), which xgrammar requires but no CPU build uses.
lock:
	cd envs && UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --no-annotate --python-version 3.11 \
		--config-file cpu.toml --override overrides.txt --no-emit-package torch --no-emit-package triton base.in cpu.in -o cpu.lock
	cd envs && UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --no-annotate --python-version 3.11 \
		--python-platform x86_64-manylinux_2_28 --override overrides.txt --no-emit-package torch base.in cuda.in -o cuda.lock
	cd envs && UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --no-annotate --python-version 3.11 inspect.in -o inspect.lock
	cd envs && uv pip compile --quiet --no-annotate --no-header --python-version 3.11 --config-file cpu.toml \
		--override overrides.txt --constraint cpu.lock trackers.in -o trackers.all
	cd envs && { echo "# Written by make lock: what trackers.in needs beside cpu.lock."; grep -vxFf cpu.lock trackers.all; } > trackers.lock
	rm envs/trackers.all

clean:
	rm -rf .venv .venv-inspect results/demo .pytest_cache .ruff_cache .mypy_cache
