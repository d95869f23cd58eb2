"""Tables: one module per kind, all with the same functions; a table's `kind` is the name of its module.

A kind's module has the functions of `TableKind`. A table's rows are written by one job each and joined by their keys; a
table without rows is written in one job from the settings alone.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Protocol, cast

from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.reporting.display import Display


class UnknownRowError(StageError, ValueError):
    """A row that the table does not have, or two rows that would be written to the same file."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One accuracy: the mean over `runs` (seeds) of the unweighted mean over `benchmarks`.

    `key` is the column's name in the settings; the row file and the paper's values name the column by it.
    """

    key: str
    runs: tuple[RunSpec, ...]
    benchmarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One table row: `key` is the name of its file, `label` what the table prints.

    `average` marks the row with the mean over a group. `runs` are trainings whose own records the row shows. A row
    without cells and runs describes the datasets in `benchmarks`.
    """

    key: str
    label: str
    group: str | None = None
    cells: tuple[Cell, ...] = ()
    benchmarks: tuple[str, ...] = ()
    runs: tuple[RunSpec, ...] = ()
    average: bool = False


# The lines of one row file: column → value as text.
RowLines = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Gap:
    """Two compared runs: whether a test told them apart; the first minus the second, with interval, in points."""

    differs: bool
    difference: float
    interval: tuple[float, float] | None


Gaps = dict[frozenset[str], Gap]
# (group, label) of a row or column whose runs are compared → pair of runs → how they compare.
Differing = dict[tuple[str, str], Gaps]


class TableKind(Protocol):
    """A module of this package; `spec` is the table's section of the settings."""

    # What Snakemake's report says about such a table.
    CAPTION: str

    def rows(self, settings: Settings, spec: Any) -> list[TableRow]:
        """Return the rows that are files of their own, in order; none where the settings alone make the table."""
        ...

    def lines(self, settings: Settings, table: str, row: TableRow) -> list[dict[str, Any]]:
        """Return what the file of `row` holds. A kind whose `rows` are always empty does not need this function."""
        ...

    def display(
        self,
        settings: Settings,
        table: str,
        spec: Any,
        contents: list[tuple[TableRow, RowLines]],
        differing: Differing | None = None,
    ) -> Display:
        """Return the table as it is printed, from the rows in `contents`; runs are marked only with `differing`."""
        ...


def kind(settings: Settings, table: str) -> TableKind:
    """Return the module of this package that knows the kind of `table`."""
    return cast(TableKind, importlib.import_module(f"{__name__}.{settings.tables[table].kind}"))


def rows(settings: Settings, table: str) -> dict[str, TableRow]:
    """Return key → row of `table` in order; the file of a row is `results/<table>/<key>.csv`.

    Raises UnknownRowError if two rows have the same key.
    """
    by_key: dict[str, TableRow] = {}
    for row in kind(settings, table).rows(settings, settings.tables[table]):
        if (other := by_key.setdefault(row.key, row)) is not row:
            raise UnknownRowError(
                f"tables.{table}: the rows {other.label!r} and {row.label!r} have the same file name {row.key!r}; "
                "rename one of them"
            )
    return by_key


def find_row(settings: Settings, table: str, key: str) -> TableRow:
    """Return the row of `table` with this key. Raises UnknownRowError that names the rows or files there are."""
    known = rows(settings, table)
    if key in known:
        return known[key]
    if known:
        raise UnknownRowError(f"{table} has no row {key!r}; its rows are: {', '.join(known)}")
    raise UnknownRowError(
        f"{table} has no row {key!r}: a table of kind {settings.tables[table].kind!r} is written in one job and has no "
        f"row files; ask for {Layout(settings.results).display(table, 'csv')}"
    )


def from_settings(settings: Settings, table: str) -> dict[str, Any]:
    """Return what `table` takes from the settings and from no row file; the table is written again if it changes."""
    display = kind(settings, table).display(settings, table, settings.tables[table], [])
    return {
        "headings": display.headings,
        "rows": [(row.label, *(e.value for e in row.entries)) for row in display.rows],
    }
