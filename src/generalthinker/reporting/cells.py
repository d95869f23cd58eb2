"""What every table row is made of: which runs and benchmarks fill which cell. Pure lookups on the settings."""

from dataclasses import asdict, dataclass
from typing import Any

from generalthinker.config.reporting import (
    AverageTable,
    BenchmarkTable,
    DatasetTable,
    HyperparameterTable,
    RunChoice,
    ScalingFigure,
)
from generalthinker.config.settings import Settings
from generalthinker.records import RunSpec, slug

AVERAGE = "Average"


@dataclass(frozen=True, slots=True)
class Cell:
    """One accuracy: the mean over `runs` (seeds) of the unweighted mean over `benchmarks`."""

    column: str
    runs: tuple[RunSpec, ...]
    benchmarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One table row; `benchmarks` are the datasets that a row without cells describes."""

    label: str
    group: str | None = None
    cells: tuple[Cell, ...] = ()
    benchmarks: tuple[str, ...] = ()


def rows(settings: Settings, table: str) -> dict[str, Row]:
    """Return the rows of `table` in order, by the file name of each: `results/<table>/<name>.csv`."""
    spec = settings.tables[table]
    match spec:
        case BenchmarkTable():
            found = _benchmark_rows(settings, spec)
        case AverageTable():
            found = [
                Row(
                    label,
                    None,
                    tuple(Cell(g, tuple(settings.runs(run)), tuple(settings.groups[g])) for g in spec.groups),
                )
                for label, run in spec.choices.items()
            ]
        case DatasetTable():
            found = [Row(name, group, benchmarks=(name,)) for group in spec.groups for name in settings.groups[group]]
        case HyperparameterTable():
            found = [Row(name) for name in hyperparameters(settings, spec)]
    return {_file_name(row): row for row in found}


def evaluations(settings: Settings, row: Row) -> list[tuple[RunSpec, str]]:
    """Return the (run, suite) pairs that `row` needs, each once, in the order of first use."""
    pairs = [
        (run, settings.suite_of(benchmark)) for cell in row.cells for run in cell.runs for benchmark in cell.benchmarks
    ]
    return list(dict.fromkeys(pairs))


def benchmarks(row: Row) -> list[str]:
    """Return the benchmarks whose questions `row` counts or describes, each once."""
    return list(dict.fromkeys([*row.benchmarks, *(name for cell in row.cells for name in cell.benchmarks)]))


def describe(settings: Settings, table: str, row: str) -> dict[str, Any]:
    """Return what decides the contents of a row besides its inputs: the cells, or the settings it lists."""
    found = rows(settings, table)[row]
    spec = settings.tables[table]
    listed = hyperparameters(settings, spec) if isinstance(spec, HyperparameterTable) else {}
    return asdict(found) | {"value": listed.get(found.label)}


@dataclass(frozen=True, slots=True)
class FigureNeeds:
    """What a figure is drawn from."""

    evaluations: tuple[tuple[RunSpec, str], ...] = ()
    histories: tuple[RunSpec, ...] = ()


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
    return FigureNeeds(histories=tuple(run for choice in spec.runs.values() for run in settings.runs(choice)))


def hyperparameters(settings: Settings, spec: HyperparameterTable) -> dict[str, str]:
    """Return name → value of everything that decides the result of the table's run, seed and nested keys included."""
    identity = settings.training_identity(settings.runs(spec.run)[0])
    flat: dict[str, str] = {}
    for section in (identity, identity["training"], identity["training"]["lora"]):
        for key, value in section.items():
            if not isinstance(value, dict):
                name = f"lora_{key}" if section is identity["training"]["lora"] else key
                flat[name] = ", ".join(value) if isinstance(value, list) else str(value)
    return flat


def _benchmark_rows(settings: Settings, spec: BenchmarkTable) -> list[Row]:
    found = []
    for group in spec.groups:
        names = settings.groups[group]
        for label, benchmarks in [*((name, (name,)) for name in names), (AVERAGE, tuple(names))]:
            cells = tuple(Cell(column, tuple(settings.runs(run)), benchmarks) for column, run in spec.choices.items())
            found.append(Row(label, group, cells))
    return found


def _file_name(row: Row) -> str:
    return slug(f"{AVERAGE} {row.group}" if row.label == AVERAGE else row.label)
