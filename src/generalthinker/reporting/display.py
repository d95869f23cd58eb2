"""A table as the paper prints it, before any file format: headings, groups, lines, what is best, and notes."""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from generalthinker.config.reporting import AverageTable, BenchmarkTable, DatasetTable, HyperparameterTable
from generalthinker.config.settings import Settings
from generalthinker.reporting.cells import AVERAGE, Row, rows
from generalthinker.reporting.measure import SEPARATOR, IncompleteResultsError, join_distinct
from generalthinker.reporting.rows import read_row

AXIS_SYMBOLS = {"modulation_strength": "β", "clip_threshold": "τ"}
PARTS = {"AM": "advantage_modulation", "TC": "token_clipping", "DP": "direction_preserving"}
# Long hashes are cut for the eye; the CSV keeps them whole.
DATASET_HEADINGS = {"dataset": None, "subset": None, "split": None, "rows": None, "revision": 10, "sha256": 10}


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell: `value` as in the CSV, `text` as shown; accuracies, interval, deviation and reported in percent."""

    value: str
    text: str
    interval: str = ""
    deviation: str = ""
    reported: str = ""
    best: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One table row; `average` marks the last row of a group."""

    group: str | None
    label: str
    entries: tuple[Entry, ...]
    average: bool = False


@dataclass(frozen=True, slots=True)
class Display:
    """One table: `columns` name the CSV's columns, `headings` the same as shown; `numeric` says which hold numbers."""

    name: str
    title: str
    label: str
    columns: tuple[str, ...]
    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    @property
    def heading(self) -> str:
        """Name and title, e.g. "Table 1: Accuracy …"."""
        return f"{spoken(self.name)}: {self.title}"

    @property
    def groups(self) -> dict[str | None, list[Line]]:
        """Group → its lines, in order; the one group None where the table has none."""
        groups: dict[str | None, list[Line]] = {}
        for line in self.lines:
            groups.setdefault(line.group, []).append(line)
        return groups


def spoken(name: str) -> str:
    """Return a table's or figure's name as a caption says it.

    >>> spoken("table1"), spoken("over_tau")
    ('Table 1', 'over_tau')
    """
    return re.sub(r"^([a-z]+)(\d+)$", lambda match: f"{match[1].capitalize()} {match[2]}", name)


def build(settings: Settings, table: str, row_files: list[Path], partial: bool = False) -> Display:
    """Return `table` from its row files, in the settings' order whatever theirs.

    Raises IncompleteResultsError if a row or cell has no file or line; with `partial` such rows are left out.
    """
    spec = settings.tables[table]
    frames = [read_row(path) for path in row_files]
    content = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"row": []}, dtype=str)
    present: list[tuple[Row, pd.DataFrame]] = []
    for name, row in rows(settings, table).items():
        lines = content[content["row"] == row.label]
        if row.group is not None and "group" in lines:
            lines = lines[lines["group"] == row.group]
        missing = [cell.column for cell in row.cells if cell.column not in set(lines["column"])] if len(lines) else []
        if len(lines) and not missing:
            present.append((row, lines))
        elif not partial:
            what = f"row {name!r} is in none of" if lines.empty else f"row {name!r} lacks {missing} in"
            raise IncompleteResultsError(f"{table}: {what} {len(row_files)} row files; write that row again")
    match spec:
        case HyperparameterTable():
            return _hyperparameters(table, spec, present)
        case DatasetTable():
            return _datasets(table, spec, present)
        case _:
            return _accuracies(settings, table, spec, present)


def _hyperparameters(table: str, spec: HyperparameterTable, present: list[tuple[Row, pd.DataFrame]]) -> Display:
    lines = tuple(Line(None, row.label, (_plain(frame["value"].iloc[0]),)) for row, frame in present)
    return Display(table, spec.title, "Hyper-parameter", ("value",), ("Value",), (False,), lines, ())


def _datasets(table: str, spec: DatasetTable, present: list[tuple[Row, pd.DataFrame]]) -> Display:
    lines = []
    for row, frame in present:
        values = {name: str(frame[name].iloc[0]) for name in DATASET_HEADINGS}
        entries = tuple(Entry(value, value[: DATASET_HEADINGS[name]]) for name, value in values.items())
        lines.append(Line(row.group, row.label, entries))
    columns = tuple(DATASET_HEADINGS)
    headings = ("Dataset", "Subset", "Split", "Rows", "Revision", "SHA-256")
    numeric = tuple(name == "rows" for name in columns)
    return Display(table, spec.title, "Benchmark", columns, headings, numeric, tuple(lines), ())


def _accuracies(
    settings: Settings, table: str, spec: AverageTable | BenchmarkTable, present: list[tuple[Row, pd.DataFrame]]
) -> Display:
    averages = isinstance(spec, AverageTable)
    columns = tuple(cell.column for cell in next(iter(rows(settings, table).values())).cells)
    lines = []
    for row, frame in present:
        by_column = {line["column"]: _entry(line) for line in frame.to_dict("records")}
        lines.append(Line(row.group, row.label, tuple(by_column[name] for name in columns), row.label == AVERAGE))
    lines = _best_per_column(lines) if averages else [replace(line, entries=_best(line.entries)) for line in lines]
    headings = columns
    if spec.sweep is not None and not averages:
        axis = next(name for name in AXIS_SYMBOLS if getattr(spec.sweep, name) is not None)
        headings = tuple(f"{AXIS_SYMBOLS[axis]} = {name}" for name in columns)
    numeric = (True,) * len(columns)
    if isinstance(spec, AverageTable) and (marks := _part_marks(settings, spec)):
        lines = [replace(line, entries=(*marks[line.label], *line.entries)) for line in lines]
        columns, headings, numeric = (*PARTS, *columns), (*PARTS, *headings), (False,) * len(PARTS) + numeric
    everything = pd.concat([frame for _, frame in present]) if present else pd.DataFrame()
    notes = _notes(everything, lines, "column" if averages else "row")
    label = "Method" if averages else "Benchmark"
    return Display(table, spec.title, label, columns, headings, numeric, tuple(lines), notes)


def _part_marks(settings: Settings, spec: AverageTable) -> dict[str, tuple[Entry, ...]]:
    """Return label → check marks of AM, TC and DP (Table 2's first columns); nothing where no method modulates."""
    methods = {label: settings.methods[choice.method] for label, choice in spec.choices.items()}
    if not any(method.advantage_modulation for method in methods.values()):
        return {}
    return {
        label: tuple(Entry("yes", "✓") if getattr(method, part) else Entry("no", "") for part in PARTS.values())
        for label, method in methods.items()
    }


def _entry(line: dict[Any, str]) -> Entry:
    value = line["accuracy_percent"]
    reported = f"{Decimal(line['reported_percent']):.2f}" if line["reported_percent"] else ""
    interval = f"{Decimal(line['ci_low']):.1f}–{Decimal(line['ci_high']):.1f}"
    return Entry(value, value, interval, line["std"], reported)


def _plain(value: str) -> Entry:
    return Entry(value, value)


def _best(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Mark the highest of two or more values, ties included."""
    highest = max((Decimal(entry.value) for entry in entries), default=Decimal(0))
    return tuple(replace(entry, best=len(entries) > 1 and Decimal(entry.value) == highest) for entry in entries)


def _best_per_column(lines: list[Line]) -> list[Line]:
    columns = [_best(column) for column in zip(*(line.entries for line in lines), strict=True)]
    return [replace(line, entries=entries) for line, entries in zip(lines, zip(*columns, strict=True), strict=True)]


def _notes(cells: pd.DataFrame, lines: list[Line], direction: str) -> tuple[str, ...]:
    if cells.empty:
        return ()
    values = {
        name: join_distinct(v for text in cells[name] for v in text.split(SEPARATOR) if v) for name in cells.columns
    }
    engine = values["engine_version"] or values["engine"]
    if values["engine"] and values["engine"] not in engine.split():
        engine = f"{values['engine']} {engine}"
    parts = [
        engine,
        values["dtype"],
        values["tensor_parallel_size"] and f"tensor parallel {values['tensor_parallel_size']}",
        values["eval_seed"] and f"evaluation seed {values['eval_seed']}",
        values["device"] and f"on {values['device']}",
        values["commit"] and "commit " + SEPARATOR.join(text[:10] for text in values["commit"].split(SEPARATOR)),
    ]
    seeds = max(int(text) for text in cells["seeds"])
    notes = [f"Bold: best of the {direction}. Small: 95 % interval over questions."]
    if any(entry.reported for line in lines for entry in line.entries):
        notes[0] += " In parentheses: the paper's value."
    notes.append(
        "One training seed." if seeds == 1 else f"Mean over {seeds} training seeds; ± is their standard deviation."
    )
    if found := ", ".join(part for part in parts if part):
        notes.append(f"Evaluated with {found}.")
    return tuple(notes)
