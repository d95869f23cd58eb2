"""Rows are benchmarks with an average per group, columns are runs (Tables 1, 4, 5, 6)."""

from typing import Any

from generalthinker.config.reporting import BenchmarkTable
from generalthinker.config.settings import Settings
from generalthinker.records import slug
from generalthinker.reporting import accuracies
from generalthinker.reporting.display import Display, DisplayedRow
from generalthinker.reporting.tables import Cell, RowLines, TableRow

CAPTION = (
    "Accuracy in percent by benchmark, greedy decoding, final boxed answer; "
    f"*Average* is the unweighted mean of its group. {accuracies.CAPTION}"
)
AVERAGE = "Average"


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


def display(settings: Settings, table: str, spec: BenchmarkTable, contents: list[tuple[TableRow, RowLines]]) -> Display:
    """Return the table with the best run of every row marked."""
    columns = tuple(spec.choices)
    headings = spec.sweep.headings() if spec.sweep is not None else {}
    shown = tuple(
        DisplayedRow(row.group, row.label, accuracies.mark_best(accuracies.entries(row, row_lines)), row.average)
        for row, row_lines in contents
    )
    return Display(
        name=table,
        title=spec.title,
        label="Benchmark",
        columns=columns,
        headings=tuple(headings.get(name, name) for name in columns),
        numeric=(True,) * len(columns),
        rows=shown,
        notes=accuracies.notes([row_lines for _, row_lines in contents], best_of="row"),
    )


def _cells(settings: Settings, spec: BenchmarkTable, benchmarks: tuple[str, ...]) -> tuple[Cell, ...]:
    return tuple(Cell(name, tuple(settings.runs(choice)), benchmarks) for name, choice in spec.choices.items())
