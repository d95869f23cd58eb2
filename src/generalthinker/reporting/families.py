"""Which accuracies of a table are compared with each other, and which of them a test could tell apart."""

import csv
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from generalthinker.config.reporting import AverageTable, BenchmarkTable, MethodTable
from generalthinker.config.settings import Settings
from generalthinker.reporting.tables import Cell, Differing, Gap, rows

HIGHER, LOWER, SAME, CANNOT_TELL = "higher", "lower", "same", "cannot tell"


@dataclass(frozen=True, slots=True)
class Family:
    """Accuracies of several runs on the same benchmarks: one row of Table 1, or one column of Table 2.

    `group` and `label` name that row (the column has no group), `cells` are by run. All tests of a family are adjusted
    together.
    """

    group: str
    label: str
    cells: dict[str, Cell]
    baseline: str | None = None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The compared runs: each with the baseline, or, without a baseline, each with those before it."""
        if self.baseline is not None:
            return [(run, self.baseline) for run in self.cells if run != self.baseline]
        return [(later, earlier) for earlier, later in itertools.combinations(self.cells, 2)]


def families(settings: Settings, table: str) -> list[Family]:
    """Return the families of `table` with at least two runs; none if the table does not show accuracies."""
    spec = settings.tables[table]
    if not isinstance(spec, BenchmarkTable | AverageTable | MethodTable):
        return []
    table_rows = rows(settings, table).values()
    if isinstance(spec, BenchmarkTable):
        found = [
            Family(row.group or "", row.label, {cell.key: cell for cell in row.cells}, spec.baseline)
            for row in table_rows
        ]
    else:
        columns = zip(*(row.cells for row in table_rows), strict=True)
        labels = [row.label for row in table_rows]
        found = [Family("", cells[0].key, dict(zip(labels, cells, strict=True)), spec.baseline) for cells in columns]
    return [family for family in found if family.pairs]


def read_differing(path: Path) -> Differing:
    """Return the compared pairs of runs, by the group and the label of their family, from a file of differences."""
    with path.open(encoding="utf-8", newline="") as file:
        return differing(csv.DictReader(file))


def differing(lines: Iterable[dict[str, str]]) -> Differing:
    """Return the compared pairs of runs from the lines of a file of differences."""
    found: Differing = {}
    for line in lines:
        pair = frozenset((line["run"], line["compared_with"]))
        found.setdefault((line["group"], line["row"]), {})[pair] = gap_of(line)
    return found


def gap_of(line: dict[str, str]) -> Gap:
    """Return the comparison of a line of a file of differences."""
    interval = (float(line["ci_low"]), float(line["ci_high"])) if line["ci_low"] else None
    return Gap(line["verdict"] in (HIGHER, LOWER), float(line["difference"]), interval)
