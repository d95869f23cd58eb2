"""The runs, evaluations and benchmarks that the rows, tables and figures need.

Everything here is computed from the settings; no file is read.
"""

from dataclasses import dataclass

from generalthinker.config.reporting import DifferencesFigure, RunChoice, ScalingFigure
from generalthinker.config.settings import Settings
from generalthinker.records import RunSpec
from generalthinker.reporting.tables import TableRow, rows

# One run and one suite of benchmarks: what is generated and graded in one job.
Evaluation = tuple[RunSpec, str]


@dataclass(frozen=True, slots=True)
class FigureNeeds:
    """What a figure is drawn from."""

    evaluations: tuple[Evaluation, ...] = ()
    histories: tuple[RunSpec, ...] = ()
    table: str = ""  # whose differences are drawn


def evaluations(settings: Settings, row: TableRow) -> list[Evaluation]:
    """Return the (run, suite) pairs that `row` needs, each once, in the order of first use."""
    pairs = [
        (run, settings.suite_of(benchmark)) for cell in row.cells for run in cell.runs for benchmark in cell.benchmarks
    ]
    return list(dict.fromkeys(pairs))


def benchmarks(row: TableRow) -> list[str]:
    """Return the benchmarks whose questions `row` counts or describes, each once."""
    return list(dict.fromkeys([*row.benchmarks, *(name for cell in row.cells for name in cell.benchmarks)]))


def figure_needs(settings: Settings, figure: str) -> FigureNeeds:
    """Return the (run, suite) pairs and the training histories that `figure` is drawn from."""
    spec = settings.figures[figure]
    if isinstance(spec, ScalingFigure):
        choices = [RunChoice(model=model, method=method) for model in spec.models for method in spec.methods]
        names = [name for group in spec.groups for name in settings.groups[group]]
        pairs = [
            (run, settings.suite_of(name)) for choice in choices for run in settings.runs(choice) for name in names
        ]
        return FigureNeeds(evaluations=tuple(dict.fromkeys(pairs)))
    if isinstance(spec, DifferencesFigure):
        return FigureNeeds(table=spec.table)
    return FigureNeeds(histories=tuple(run for choice in spec.runs.values() for run in settings.runs(choice)))


def needed_evaluations(settings: Settings) -> dict[str, list[Evaluation]]:
    """Return table or figure → its (run, suite) pairs, each once."""
    of_tables = {
        table: list(
            dict.fromkeys(pair for row in rows(settings, table).values() for pair in evaluations(settings, row))
        )
        for table in settings.tables
    }
    of_figures = {}
    for figure in settings.figures:
        needed = figure_needs(settings, figure)
        of_figures[figure] = of_tables[needed.table] if needed.table else list(needed.evaluations)
    return of_tables | of_figures


def all_evaluations(settings: Settings) -> list[Evaluation]:
    """Return every (run, suite) pair of the experiment, in the order of first use."""
    return list(dict.fromkeys(pair for pairs in needed_evaluations(settings).values() for pair in pairs))


def untrained(settings: Settings, model: str) -> RunSpec | None:
    """Return `model` before any training as a run of the experiment; None if the experiment has no such method."""
    names = [name for name, method in settings.methods.items() if not method.trained]
    return RunSpec(model, names[0]) if names else None


def evaluations_of_run(settings: Settings, run: RunSpec) -> list[Evaluation]:
    """Return the (run, suite) pairs that tables and figures need of `run` and, for these suites, of its base model."""
    pairs, either = all_evaluations(settings), (run, untrained(settings, run.model))
    suites = [suite for other, suite in pairs if other == run]
    return [(other, suite) for other, suite in pairs if suite in suites and other in either]


def all_runs(settings: Settings) -> list[RunSpec]:
    """Return every run of the experiment, untrained models included, in the order of first use."""
    histories = [run for figure in settings.figures for run in figure_needs(settings, figure).histories]
    return list(dict.fromkeys([*(run for run, _ in all_evaluations(settings)), *histories, *credit_runs(settings)]))


def credit_runs(settings: Settings) -> list[RunSpec]:
    """Return the runs of which it is measured whether their credit finds the wrong step."""
    choices = settings.credit.runs.values() if settings.credit else ()
    return list(dict.fromkeys(run for choice in choices for run in settings.runs(choice)))
