"""Rows are runs, columns are group averages, with check marks for the parts of each run's method (Table 2)."""

from typing import Any

from generalthinker.config.reporting import AverageTable, MethodTable
from generalthinker.config.settings import Settings
from generalthinker.records import slug
from generalthinker.reporting import accuracies
from generalthinker.reporting.display import Display, DisplayedRow, Entry
from generalthinker.reporting.tables import Cell, Differing, RowLines, TableRow

CAPTION = (
    "Unweighted mean accuracy of a group's benchmarks in percent; "
    f"check marks show which parts of its method a run has. {accuracies.CAPTION}"
)
YES, NO = Entry("yes", "✓"), Entry("no", "")


def rows(settings: Settings, spec: AverageTable | MethodTable) -> list[TableRow]:
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


def display(
    settings: Settings,
    table: str,
    spec: AverageTable,
    contents: list[tuple[TableRow, RowLines]],
    differing: Differing | None = None,
) -> Display:
    """Return the table with the runs of every column marked that stand out, and those that do not."""
    marks = {slug(label): settings.methods[choice.method].marks for label, choice in spec.choices.items()}
    names = tuple(dict.fromkeys(name for of_run in marks.values() for name in of_run))
    by_row = marked(spec, contents, differing)
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
        notes=(
            *accuracies.notes([row_lines for _, row_lines in contents], "column", spec.baseline, bool(differing)),
            *detectable(contents),
        ),
    )


def marked(
    spec: AverageTable | MethodTable, contents: list[tuple[TableRow, RowLines]], differing: Differing | None
) -> list[tuple[Entry, ...]]:
    """Return the printed averages of every row, with the runs of each column marked."""
    labels = [row.label for row, _ in contents]
    by_column = zip(*(accuracies.entries(row, row_lines) for row, row_lines in contents), strict=True)
    columns = [
        accuracies.mark(dict(zip(labels, entries, strict=True)), (differing or {}).get(("", group)), spec.baseline)
        for group, entries in zip(spec.groups, by_column, strict=False)
    ]
    return list(zip(*(column.values() for column in columns), strict=True))


def detectable(contents: list[tuple[TableRow, RowLines]]) -> tuple[str, ...]:
    """Return the smallest difference that each column could show, as a sentence."""
    found = {line["column"]: line["minimum_detectable"] for _, row_lines in contents for line in row_lines}
    if not found:
        return ()
    listed = ", ".join(f"{points} points in {group}" for group, points in found.items())
    return (f"Minimum detectable difference: {listed} {accuracies.DETECTABLE}.",)
