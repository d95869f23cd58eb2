"""Rows are benchmarks with an average per group, columns are runs (Tables 1, 4, 5, 6)."""

from typing import Any

from generalthinker.config.reporting import BenchmarkTable
from generalthinker.config.settings import Settings
from generalthinker.records import slug
from generalthinker.reporting import accuracies
from generalthinker.reporting.display import Display, DisplayedRow, Entry
from generalthinker.reporting.tables import Cell, Differing, RowLines, TableRow

CAPTION = (
    "Accuracy in percent by benchmark, greedy decoding, final boxed answer; "
    f"*Average* is the unweighted mean of its group. {accuracies.CAPTION}"
)
AVERAGE = "Average"
DETECTABLE = "minimum_detectable"


def rows(settings: Settings, spec: BenchmarkTable) -> list[TableRow]:
    """Return a row per benchmark and, after those of each group, the group's average."""
    table_rows = []
    for group in spec.groups:
        names = settings.groups[group]
        for name in names:
            table_rows.append(TableRow(slug(name), name, group, _cells(settings, spec, (name,))))
        cells = _cells(settings, spec, tuple(names))
        table_rows.append(TableRow(slug(f"{AVERAGE} {group}"), AVERAGE, group, cells, average=True))
    return table_rows


def lines(settings: Settings, table: str, row: TableRow) -> list[dict[str, Any]]:
    """Return a line per cell."""
    return accuracies.lines(settings, table, row)


def display(
    settings: Settings,
    table: str,
    spec: BenchmarkTable,
    contents: list[tuple[TableRow, RowLines]],
    differing: Differing | None = None,
) -> Display:
    """Return the table with the runs of every row marked that stand out, and those that do not.

    The last column has the smallest difference that the row could show, in points.
    """
    columns = tuple(spec.choices)
    headings = spec.sweep.headings() if spec.sweep is not None else {}
    shown = []
    for row, row_lines in contents:
        entries = dict(zip(columns, accuracies.entries(row, row_lines), strict=True))
        marked = accuracies.mark(entries, (differing or {}).get((row.group or "", row.label)), spec.baseline)
        points = next((line[DETECTABLE] for line in row_lines), "")
        shown.append(DisplayedRow(row.group, row.label, (*marked.values(), Entry(points, points)), row.average))
    notes = accuracies.notes([row_lines for _, row_lines in contents], "row", spec.baseline, bool(differing))
    if notes:
        notes = (*notes, f"MDD: minimum detectable difference in points {accuracies.DETECTABLE}.")
    return Display(
        name=table,
        title=spec.title,
        label="Benchmark",
        columns=columns,
        headings=(*(headings.get(name, name) for name in columns), "MDD"),
        numeric=(True,) * (len(columns) + 1),
        rows=tuple(shown),
        notes=notes,
    )


def _cells(settings: Settings, spec: BenchmarkTable, benchmarks: tuple[str, ...]) -> tuple[Cell, ...]:
    return tuple(Cell(name, tuple(settings.runs(choice)), benchmarks) for name, choice in spec.choices.items())
