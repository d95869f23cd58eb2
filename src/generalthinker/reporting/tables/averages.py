"""Rows are runs, columns are group averages, with check marks for the parts of each run's method (Table 2)."""

from typing import Any

from generalthinker.config.reporting import AverageTable
from generalthinker.config.settings import Settings
from generalthinker.records import slug
from generalthinker.reporting import accuracies
from generalthinker.reporting.display import Display, DisplayedRow, Entry
from generalthinker.reporting.tables import Cell, RowLines, TableRow

CAPTION = (
    "Unweighted mean accuracy of a group's benchmarks in percent; "
    f"check marks show which parts of its method a run has. {accuracies.CAPTION}"
)
YES, NO = Entry("yes", "✓"), Entry("no", "")


def rows(settings: Settings, spec: AverageTable) -> list[TableRow]:
    """Return a row per run; its cells are the averages of the groups."""
    table_rows = []
    for label, choice in spec.choices.items():
        runs = tuple(settings.runs(choice))
        cells = tuple(Cell(group, runs, tuple(settings.groups[group])) for group in spec.groups)
        heading = spec.sweep.headings()[label] if spec.sweep is not None else label
        table_rows.append(TableRow(slug(label), heading, cells=cells))
    return table_rows


def lines(settings: Settings, table: str, row: TableRow) -> list[dict[str, Any]]:
    """Return a line per cell."""
    return accuracies.lines(settings, table, row)


def display(settings: Settings, table: str, spec: AverageTable, contents: list[tuple[TableRow, RowLines]]) -> Display:
    """Return the table with the best run of every column marked."""
    marks = {slug(label): settings.methods[choice.method].marks for label, choice in spec.choices.items()}
    names = tuple(dict.fromkeys(name for of_run in marks.values() for name in of_run))
    by_column = zip(*(accuracies.entries(row, row_lines) for row, row_lines in contents), strict=True)
    by_row = zip(*(accuracies.mark_best(entries) for entries in by_column), strict=True)
    shown = []
    for (row, _), entries in zip(contents, by_row, strict=True):
        checks = (YES if marks[row.key].get(name) else NO for name in names)
        shown.append(DisplayedRow(None, row.label, (*checks, *entries)))
    return Display(
        name=table,
        title=spec.title,
        label="Method",
        columns=(*names, *spec.groups),
        headings=(*names, *spec.groups),
        numeric=(False,) * len(names) + (True,) * len(spec.groups),
        rows=tuple(shown),
        notes=accuracies.notes([row_lines for _, row_lines in contents], best_of="column"),
    )
