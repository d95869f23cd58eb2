"""Rows are benchmarks with their dataset's id, revision and size (Table 3)."""

from typing import Any

from generalthinker.config.reporting import DatasetTable
from generalthinker.config.settings import Settings
from generalthinker.records import slug
from generalthinker.reporting.display import Display, DisplayedRow, Entry
from generalthinker.reporting.measure import read_manifest
from generalthinker.reporting.tables import Differing, RowLines, TableRow

CAPTION = (
    "What was evaluated: dataset, split, pinned revision, number of questions, "
    "and the SHA-256 of the file written from it."
)
LINE_COLUMNS = ("dataset", "subset", "split", "revision", "rows", "sha256", "origin")
HEADINGS = {
    "dataset": "Dataset",
    "subset": "Subset",
    "split": "Split",
    "rows": "Rows",
    "revision": "Revision",
    "sha256": "SHA-256",
}
# Only the first characters of long hashes are shown; the CSV holds them whole.
SHOWN_CHARACTERS = {"revision": 10, "sha256": 10}


def rows(settings: Settings, spec: DatasetTable) -> list[TableRow]:
    """Return a row per benchmark."""
    return [
        TableRow(slug(name), name, group, benchmarks=(name,))
        for group in spec.groups
        for name in settings.groups[group]
    ]


def lines(settings: Settings, table: str, row: TableRow) -> list[dict[str, Any]]:
    """Return one line from the benchmark's manifest; raises IncompleteResultsError if it was not written yet."""
    manifest = read_manifest(settings, row.benchmarks[0])
    described = {name: manifest.get("rows_written" if name == "rows" else name) for name in LINE_COLUMNS}
    return [{"table": table, "group": row.group, "row": row.label} | described]


def display(
    settings: Settings,
    table: str,
    spec: DatasetTable,
    contents: list[tuple[TableRow, RowLines]],
    differing: Differing | None = None,
) -> Display:
    """Return the table with long hashes cut."""
    shown = []
    for row, row_lines in contents:
        values = {name: row_lines[0][name] if row_lines else "" for name in HEADINGS}
        entries = tuple(Entry(value, value[: SHOWN_CHARACTERS.get(name)]) for name, value in values.items())
        shown.append(DisplayedRow(row.group, row.label, entries))
    return Display(
        name=table,
        title=spec.title,
        label="Benchmark",
        columns=tuple(HEADINGS),
        headings=tuple(HEADINGS.values()),
        numeric=tuple(name == "rows" for name in HEADINGS),
        rows=tuple(shown),
    )
