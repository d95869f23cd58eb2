# The settings, which are checked before any job starts, and the functions that several rule files use.
import re
import sys
from dataclasses import asdict
from pathlib import Path

from snakemake.exceptions import WorkflowError

from generalthinker.code_versions import all_code, fingerprint, fingerprint_with_imports
from generalthinker.config import parse_settings
from generalthinker.config.load import freeze, frozen_path
from generalthinker.disk import require_folder, require_writable
from generalthinker.errors import StageError
from generalthinker.paths import Layout
from generalthinker.records import slug
from generalthinker.reporting import agreement, cells, families, tables
from generalthinker.slurm import refuse_orphans, use_clients
from generalthinker.sweep import hold_session
from generalthinker.training.launcher import require_reporter

try:
    settings = parse_settings(
        config, " + ".join(map(str, workflow.configfiles)) or "configuration"
    )
    require_folder(settings.results)
except StageError as error:
    raise WorkflowError(str(error)) from None

layout = Layout(settings.results)
use_clients(Path(workflow.basedir) / "slurm/bin")
# Snakemake uses this with `--sdm conda` only; `make` installs the same versions into .venv.
ENVIRONMENT = (
    "../../envs/cuda.yaml" if settings.models_of_kind("hub") else "../../envs/cpu.yaml"
)
# Jobs read a frozen copy of the checked settings, so that edits of the YAML do not affect a started workflow.
shell.prefix(
    f"set -euo pipefail; export PATH={Path(sys.executable).parent}:$PATH GENERALTHINKER_SETTINGS={frozen_path(settings)}; "
)


def alternatives(names):
    return "|".join(re.escape(slug(name)) for name in names) or "(?!)"


def benchmark_files(names):
    return [layout.benchmark(slug(name)) for name in names]


def package_of(wildcards):
    packaged = map(slug, settings.models_of_kind("package"))
    return [layout.package(wildcards.model)] if wildcards.model in packaged else []


def further_models(run):
    entries = settings.method(settings.run(run)).models.values()
    return [layout.model(slug(entry)) for entry in entries]


def row_inputs(wildcards):
    try:
        row = tables.find_row(settings, wildcards.table, wildcards.row)
    except tables.UnknownRowError as error:
        raise WorkflowError(str(error)) from None
    grades = [
        layout.grades(run.name, suite)
        for run, suite in cells.evaluations(settings, row)
    ]
    overlaps = [
        layout.overlap(slug(name))
        for name in cells.benchmarks(row)
        if row.cells and name in settings.uncompared_benchmarks
    ]
    records = [
        path(run.name)
        for run in row.runs
        for path in (layout.timing, layout.history, layout.run_record)
    ]
    return (
        grades
        + overlaps
        + records
        + [layout.benchmark_manifest(slug(name)) for name in cells.benchmarks(row)]
    )


def row_files(wildcards):
    return [
        layout.row(wildcards.table, key)
        for key in tables.rows(settings, wildcards.table)
    ]


def differences_inputs(wildcards):
    evaluations = cells.needed_evaluations(settings)[wildcards.table]
    benchmarks = dict.fromkeys(
        name
        for row in tables.rows(settings, wildcards.table).values()
        for name in cells.benchmarks(row)
    )
    return (
        [layout.grades(run.name, suite) for run, suite in evaluations]
        + benchmark_files(benchmarks)
        + [layout.benchmark_manifest(slug(name)) for name in benchmarks]
    )


def adapter_inputs(wildcards):
    evaluations = cells.evaluations_of_run(settings, settings.run(wildcards.run))
    suites = dict.fromkeys(suite for _, suite in evaluations)
    names = [name for suite in suites for name in settings.suite_benchmarks(suite)]
    uncompared = [name for name in names if name in settings.uncompared_benchmarks]
    return (
        [layout.grades(run.name, suite) for run, suite in evaluations]
        + [layout.benchmark_manifest(slug(name)) for name in names]
        + [layout.overlap(slug(name)) for name in uncompared]
    )


def figure_inputs(wildcards):
    needed = cells.figure_needs(settings, wildcards.figure)
    if needed.table:
        return [layout.differences(needed.table, "csv")]
    return [layout.grades(run.name, suite) for run, suite in needed.evaluations] + [
        path(run.name)
        for run in needed.histories
        for path in (layout.history, layout.timing, layout.run_record)
    ]


def evaluated_benchmarks():
    suites = {suite for _, suite in cells.all_evaluations(settings)}
    return [name for name in settings.benchmarks if settings.suite_of(name) in suites]


def evaluated_files(wildcards):
    graded = [
        path(run.name, suite)
        for run, suite in cells.all_evaluations(settings)
        for path in (layout.grades, layout.generations)
    ]
    return graded + benchmark_files(evaluated_benchmarks())


wildcard_constraints:
    run="[^/]+/[^/]+",
    row="[^/]+",
    model=alternatives(settings.models),
    name=alternatives(settings.benchmarks),
    suite=alternatives(settings.evaluation.suites),
    table=alternatives(settings.tables),
    figure=alternatives(settings.figures),
