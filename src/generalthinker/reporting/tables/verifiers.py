"""Rows are runs rewarded by a verifier model: how often it contradicts rule and grader, held out and in training."""

import statistics
from pathlib import Path
from typing import Any

from generalthinker.config.reporting import VerifierTable
from generalthinker.config.settings import Settings
from generalthinker.files import read_columns, read_json
from generalthinker.methods.general_reasoner import ROLE, GeneralReasoner
from generalthinker.paths import Layout
from generalthinker.records import slug
from generalthinker.reporting.display import Display, DisplayedRow, Entry
from generalthinker.reporting.measure import IncompleteResultsError
from generalthinker.reporting.statistics import percent
from generalthinker.reporting.tables import Differing, RowLines, TableRow

CAPTION = (
    "How often a verifier model contradicted the exact comparison on held-out answers of its pre-training, and the "
    "grader on the sampled responses of training; percent."
)
HELD_OUT = {"accuracy": "Accuracy", "false_accepts": "False accepts", "false_rejects": "False rejects"}
IN_TRAINING = {metric.column: metric.title for metric in GeneralReasoner.METRICS}


def rows(settings: Settings, spec: VerifierTable) -> list[TableRow]:
    """Return a row per run."""
    return [TableRow(slug(label), label, runs=tuple(settings.runs(choice))) for label, choice in spec.runs.items()]


def lines(settings: Settings, table: str, row: TableRow) -> list[dict[str, Any]]:
    """Return one line: shares in percent, those of training averaged over steps and seeds.

    The held-out shares are empty for a verifier that was not pre-trained here. Raises IncompleteResultsError if a
    training has not finished.
    """
    layout = Layout(settings.results)
    entry = settings.method(row.runs[0]).models[ROLE]
    record = Path(layout.model(slug(entry))) / "pretraining.json"
    known = read_json(record) if record.exists() else {}
    held_out = {name: percent(known[name]) if name in known else "" for name in HELD_OUT}
    values: dict[str, list[float]] = {name: [] for name in IN_TRAINING}
    for run in row.runs:
        path = layout.history(run.name)
        if not Path(path).exists():
            raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
        columns, _ = read_columns(path, [*IN_TRAINING])
        for name in IN_TRAINING:
            values[name] += [value for value in columns[name] if value is not None]
    in_training = {name: percent(statistics.fmean(found)) if found else "" for name, found in values.items()}
    return [{"table": table, "row": row.label, "verifier": entry, **held_out, **in_training}]


def display(
    settings: Settings,
    table: str,
    spec: VerifierTable,
    contents: list[tuple[TableRow, RowLines]],
    differing: Differing | None = None,
) -> Display:
    """Return the table as its lines say."""
    headings = {"verifier": "Verifier"} | HELD_OUT | IN_TRAINING
    shown = []
    for row, row_lines in contents:
        values = {name: row_lines[0].get(name, "") if row_lines else "" for name in headings}
        shown.append(DisplayedRow(None, row.label, tuple(Entry(value, value) for value in values.values())))
    return Display(
        name=table,
        title=spec.title,
        label="Run",
        columns=tuple(headings),
        headings=tuple(headings.values()),
        numeric=(False, *(True for _ in {**HELD_OUT, **IN_TRAINING})),
        rows=tuple(shown),
        notes=("Accuracy, false accepts and false rejects: on held-out answers. The others: means over training.",),
    )
