"""Rows are runs whose method uses further models: what their pre-training measured, and the method's own metrics."""

import statistics
from pathlib import Path
from typing import Any

from generalthinker.config.reporting import FurtherModelsTable
from generalthinker.config.settings import Settings
from generalthinker.files import read_columns, read_json
from generalthinker.metrics import Metric
from generalthinker.paths import Layout
from generalthinker.records import slug
from generalthinker.reporting.display import Display, DisplayedRow, Entry
from generalthinker.reporting.measure import IncompleteResultsError
from generalthinker.reporting.statistics import percent
from generalthinker.reporting.tables import Differing, RowLines, TableRow

CAPTION = (
    "Further models of a method: shares on held-out questions, which their pre-training measured, and shares of the "
    "sampled responses of training; percent."
)
PRETRAINED = "held_out"  # the section of a built model's record that holds shares


def rows(settings: Settings, spec: FurtherModelsTable) -> list[TableRow]:
    """Return a row per run."""
    return [TableRow(slug(label), label, runs=tuple(settings.runs(choice))) for label, choice in spec.runs.items()]


def lines(settings: Settings, table: str, row: TableRow) -> list[dict[str, Any]]:
    """Return a line per share (percent): of a further model, or of the training, averaged over steps and seeds.

    Raises IncompleteResultsError if a training has not finished.
    """
    layout = Layout(settings.results)
    method = settings.method(row.runs[0])
    found = []
    for role, entry in method.models.items():
        record = Path(layout.model(slug(entry))) / "pretraining.json"
        known = read_json(record).get(PRETRAINED, {}) if record.exists() else {}
        found += [(f"{role}: {name.replace('_', ' ')}", percent(share)) for name, share in known.items()]
    for metric in method.METRICS:
        values = [value for run in row.runs for value in _column(layout.history(run.name), metric)]
        found.append((metric.title, percent(statistics.fmean(values)) if values else ""))
    return [{"table": table, "row": row.label, "column": name, "percent": value} for name, value in found]


def _column(path: str, metric: Metric) -> list[float]:
    if not Path(path).exists():
        raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
    columns, _ = read_columns(path, [metric.column])
    return [value for value in columns[metric.column] if value is not None]


def display(
    settings: Settings,
    table: str,
    spec: FurtherModelsTable,
    contents: list[tuple[TableRow, RowLines]],
    differing: Differing | None = None,
) -> Display:
    """Return the table with a column for every share that a row has."""
    shares = list(dict.fromkeys(line["column"] for _, row_lines in contents for line in row_lines))
    shown = []
    for row, row_lines in contents:
        values = {line["column"]: line["percent"] for line in row_lines}
        models = ", ".join(settings.method(row.runs[0]).models.values())
        entries = [Entry(models, models), *(Entry(values.get(name, ""), values.get(name, "")) for name in shares)]
        shown.append(DisplayedRow(None, row.label, tuple(entries)))
    return Display(
        name=table,
        title=spec.title,
        label="Run",
        columns=("models", *shares),
        headings=("Models", *shares),
        numeric=(False, *(True for _ in shares)),
        rows=tuple(shown),
        notes=(
            "In percent; shares of a model are of held-out questions, the others means over the steps of training.",
        ),
    )
