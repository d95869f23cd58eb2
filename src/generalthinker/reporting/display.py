"""A table as the paper prints it, whatever the file format: headings, groups, rows, best values, and notes."""

import re
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Entry:
    """One printed cell: `value` as in the CSV, `text` as shown; `number` is the value of an accuracy.

    Accuracies, `interval`, `deviation` and `reported` are in percent. `best` stands out from all others it is compared
    with; `tied` could not be told apart from the highest, or from the baseline.
    """

    value: str
    text: str
    number: Decimal | None = None
    interval: str = ""
    deviation: str = ""
    reported: str = ""
    best: bool = False
    tied: bool = False


@dataclass(frozen=True, slots=True)
class DisplayedRow:
    """One printed row; `average` marks the last row of a group."""

    group: str | None
    label: str
    entries: tuple[Entry, ...]
    average: bool = False


@dataclass(frozen=True, slots=True)
class Display:
    """One table: `columns` name the CSV's columns, `headings` the same as shown; `numeric` says which hold numbers.

    A heading beyond the last of `columns` is shown, but not in the CSV.
    """

    name: str
    title: str
    label: str
    columns: tuple[str, ...]
    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[DisplayedRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """Name and title, e.g. "Table 1: Accuracy …"."""
        return f"{spoken(self.name)}: {self.title}"

    @property
    def groups(self) -> dict[str | None, list[DisplayedRow]]:
        """Group → its rows, in order; the only group is None where the table has no groups."""
        groups: dict[str | None, list[DisplayedRow]] = {}
        for row in self.rows:
            groups.setdefault(row.group, []).append(row)
        return groups


def signed(points: float) -> str:
    """Return a difference in points with its sign; of a zero it is a plus.

    >>> signed(-0.25), signed(-0.004)
    ('-0.25', '+0.00')
    """
    return f"{points:+z.2f}"


def signed_interval(low: float, high: float) -> str:
    """Return an interval of a difference in points, e.g. `-0.25 … +1.50`."""
    return f"{signed(low)} … {signed(high)}"


def spoken(name: str) -> str:
    """Return the name of a table or figure as captions write it.

    >>> spoken("table1"), spoken("over_tau")
    ('Table 1', 'over_tau')
    """
    return re.sub(r"^([a-z]+)(\d+)$", lambda match: f"{match[1].capitalize()} {match[2]}", name)
