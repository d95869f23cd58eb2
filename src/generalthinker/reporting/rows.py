"""One table row as a file: a line per cell with its counts, interval, provenance and the paper's value."""

from pathlib import Path
from typing import Any

import pandas as pd

from generalthinker.config.reporting import DatasetTable, HyperparameterTable
from generalthinker.config.settings import Settings
from generalthinker.files import replacing
from generalthinker.reporting.cells import Cell, Row, hyperparameters, rows
from generalthinker.reporting.measure import SEPARATOR, GradeFiles, Measurement, measure, read_manifest
from generalthinker.reporting.statistics import percent

CELL_COLUMNS = [
    "table",
    "group",
    "row",
    "column",
    "accuracy_percent",
    "ci_low",
    "ci_high",
    "correct",
    "total",
    "responses",
    "no_box",
    "truncated",
    "seeds",
    "std",
    "runs",
    "engine",
    "engine_version",
    "dtype",
    "tensor_parallel_size",
    "eval_seed",
    "device",
    "commit",
    "reported_percent",
]
Place = tuple[str, str, str, str]
DATASET_COLUMNS = ["dataset", "subset", "split", "revision", "rows", "sha256", "origin"]


def write_row(settings: Settings, table: str, row: str, out: Path) -> None:
    """Write row file `row` of `table`: a line per cell (accuracies, intervals and `std` in percent), or the one line
    that a dataset or hyper-parameter table has.

    `row` is the file name that `cells.rows` gives. Raises IncompleteResultsError if a result it needs is not there.
    """
    found = rows(settings, table)
    if row not in found:
        raise ValueError(f"{table} has no row {row!r}; allowed: {list(found)}")
    spec = settings.tables[table]
    content = found[row]
    match spec:
        case DatasetTable():
            frame = pd.DataFrame([_dataset_line(settings, table, content)])
        case HyperparameterTable():
            value = hyperparameters(settings, spec)[content.label]
            frame = pd.DataFrame([{"table": table, "row": content.label, "value": value}])
        case _:
            frame = pd.DataFrame(_cell_lines(settings, table, content), columns=CELL_COLUMNS)
    with replacing(out) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def read_row(path: Path) -> pd.DataFrame:
    """Return a row file as it was written: every column as text, empty cells as empty text."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def read_reported(settings: Settings) -> dict[Place, str]:
    """Return the paper's values in percent, as printed, by (table, group, row, column); none if the settings name none.

    Raises FileNotFoundError if the settings name a file that is not there, ValueError if it lacks a column.
    """
    if settings.reported_values is None:
        return {}
    path = Path(settings.reported_values)
    if not path.exists():
        raise FileNotFoundError(f"reported_values = {path}: no such file (relative to {Path.cwd()})")
    frame = read_row(path)
    columns = ["table", "group", "row", "column", "accuracy_percent"]
    if missing := [name for name in columns if name not in frame.columns]:
        raise ValueError(f"{path}: columns {missing} are missing; expected {columns}")
    return {
        (line["table"], line["group"], line["row"], line["column"]): line["accuracy_percent"]
        for line in frame.to_dict("records")
    }


def _dataset_line(settings: Settings, table: str, row: Row) -> dict[str, Any]:
    manifest = read_manifest(settings, row.benchmarks[0])
    line: dict[str, Any] = {"table": table, "group": row.group, "row": row.label}
    return line | {name: manifest.get("rows_written" if name == "rows" else name) for name in DATASET_COLUMNS}


def _cell_lines(settings: Settings, table: str, row: Row) -> list[dict[str, Any]]:
    grades = GradeFiles(settings)
    reported = read_reported(settings)
    lines = []
    for cell in row.cells:
        place: Place = (table, row.group or "", row.label, cell.column)
        line = dict(zip(("table", "group", "row", "column"), place, strict=True))
        lines.append(line | _cell_values(cell, measure(grades, cell)) | {"reported_percent": reported.get(place, "")})
    return lines


def _cell_values(cell: Cell, measured: Measurement) -> dict[str, Any]:
    tallies = measured.tallies
    single = len(cell.benchmarks) == 1
    return {
        "accuracy_percent": percent(measured.accuracy),
        "ci_low": percent(measured.interval.low),
        "ci_high": percent(measured.interval.high),
        # An unweighted average is not a count over anything.
        "correct": sum(tally.correct for tally in tallies) if single else "",
        "total": sum(tally.total for tally in tallies) if single else "",
        "responses": sum(tally.total for tally in tallies),
        "no_box": sum(tally.no_box for tally in tallies),
        "truncated": sum(tally.truncated for tally in tallies),
        "seeds": measured.seeds,
        "std": "" if measured.deviation is None else percent(measured.deviation),
        "runs": SEPARATOR.join(run.name for run in cell.runs),
        **measured.provenance,
    }
