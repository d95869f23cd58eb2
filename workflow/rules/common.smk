# The settings, checked before any job; names the other rule files use.
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from generalthinker.config import SettingsError, parse_settings
from generalthinker.config.load import freeze, frozen_path
from generalthinker.paths import Layout
from generalthinker.provenance import code_fingerprint
from generalthinker.records import slug
from generalthinker.reporting import cells, inventory

try:
    settings = parse_settings(
        config, " + ".join(map(str, workflow.configfiles)) or "configuration"
    )
except SettingsError as error:
    raise WorkflowError(str(error)) from None

layout = Layout(settings.results)
# Used with `--sdm conda` only; `make` installs the same pins into .venv.
ENVIRONMENT = (
    "../../envs/cuda.yaml" if settings.models_of_kind("hub") else "../../envs/cpu.yaml"
)
# What a job reads: the settings as they were checked here, whatever happens to the YAML meanwhile.
shell.prefix(
    f"set -euo pipefail; export PATH={Path(sys.executable).parent}:$PATH GENERALTHINKER_SETTINGS={frozen_path(settings)}; "
)


def alternatives(names):
    return "|".join(re.escape(slug(name)) for name in names) or "(?!)"


def benchmark_files(names):
    return [layout.benchmark(slug(name)) for name in names]


def further_models(run):
    entries = settings.method(settings.run(run)).models.values()
    return [layout.model(slug(entry)) for entry in entries]


def row_inputs(wildcards):
    row = cells.rows(settings, wildcards.table).get(wildcards.row)
    if row is None:
        known = ", ".join(cells.rows(settings, wildcards.table))
        raise WorkflowError(
            f"{wildcards.table} has no row {wildcards.row!r}; its rows are: {known}"
        )
    grades = [
        layout.grades(run.name, suite)
        for run, suite in cells.evaluations(settings, row)
    ]
    return grades + [
        layout.benchmark_manifest(slug(name)) for name in cells.benchmarks(row)
    ]


def figure_inputs(wildcards):
    needed = cells.figure_needs(settings, wildcards.figure)
    return [layout.grades(run.name, suite) for run, suite in needed.evaluations] + [
        layout.history(run.name) for run in needed.histories
    ]


wildcard_constraints:
    run="[^/]+/[^/]+",
    row="[^/]+",
    model=alternatives(settings.models),
    name=alternatives(settings.benchmarks),
    suite=alternatives(settings.evaluation.suites),
    table=alternatives(settings.tables),
    figure=alternatives(settings.figures),
