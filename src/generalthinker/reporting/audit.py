"""The paper's printed numbers, checked for consistency and compared with the reproduced ones."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

import pandas as pd

from generalthinker.config.settings import Settings
from generalthinker.files import replacing, write_text
from generalthinker.records import RunSpec
from generalthinker.reporting.comparison import compared, explained, summary
from generalthinker.reporting.display import signed
from generalthinker.reporting.reported import Place, place_of, read_reported
from generalthinker.reporting.statistics import percent
from generalthinker.reporting.tables import Cell, rows

COLUMNS = [
    "check",
    "table",
    "group",
    "row",
    "column",
    "reported_percent",
    "reproduced_percent",
    "ci_low",
    "ci_high",
    "difference",
    "verdict",
    "finding",
]
# A number printed with two decimals stands for all numbers within half a unit of its last digit.
HALF_DIGIT = Fraction(1, 200)
CHECKS = {
    "impossible": "no number of right answers over the benchmark's rows gives this value",
    "average": "the average of the benchmarks' printed values is another one",
    "contradiction": "another table prints another value for the same run and benchmarks",
    "unknown": "the settings have no such cell",
}

Content = tuple[tuple[RunSpec, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the audit; percentages as printed, `verdict` is one of `comparison.py`."""

    check: str
    table: str
    group: str
    row: str
    column: str
    reported_percent: str
    reproduced_percent: str = ""
    ci_low: str = ""
    ci_high: str = ""
    difference: str = ""
    verdict: str = ""
    finding: str = ""


def audit(settings: Settings) -> pd.DataFrame:
    """Return one line per finding about the paper's values (percent), then one per value that was reproduced.

    `check` is a key of CHECKS, or `reproduced`: there `difference` is reproduced − reported, in points, with its 95 %
    interval, and `verdict` says what it allows to say. Empty if the settings name no paper's values.
    """
    reported = read_reported(settings)
    known = dict(_cells(settings))
    cells = {place: known[place] for place in reported if place in known}
    findings = [
        Finding("unknown", *place, value, finding=f"{' / '.join(filter(None, place))}: {CHECKS['unknown']}")
        for place, value in reported.items()
        if place not in known
    ]
    findings += _impossible(settings, reported, cells)
    findings += _averages(reported, cells)
    findings += _contradictions(reported, cells)
    findings += _reproduced(settings, cells)
    return pd.DataFrame([asdict(finding) for finding in findings], columns=COLUMNS)


def write_audit(settings: Settings, csv: Path, md: Path) -> None:
    """Write the audit as CSV and as Markdown: first the values that cannot be right, then reported and
    reproduced ones (percent)."""
    frame = audit(settings)
    with replacing(csv) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
    write_text(md, _markdown(settings, frame))


def describe(line: dict[Any, str]) -> str:
    """Return one finding as a sentence with its place."""
    group = f" ({line['group']})" if line["group"] else ""
    return f"{line['table']}, {line['row']}{group}, {line['column']}: {line['finding']}"


def possible_counts(printed: str, total: int) -> list[int]:
    """Return every count out of `total` whose percentage can be printed as `printed` (two decimals).

    >>> possible_counts("71.57", 1319), possible_counts("71.63", 1319)
    ([944], [])
    """
    value = Fraction(printed)
    low = ceil((value - HALF_DIGIT) * total / 100)
    high = floor((value + HALF_DIGIT) * total / 100)
    return [count for count in range(low, high + 1) if 0 <= count <= total]


def _cells(settings: Settings) -> Iterator[tuple[Place, Cell]]:
    for table in settings.tables:
        for row in rows(settings, table).values():
            for cell in row.cells:
                yield place_of(table, row, cell), cell


def _content(cell: Cell) -> Content:
    """Return what a cell measures, which is independent of the table and the column it is printed in."""
    return cell.runs, cell.benchmarks


def _impossible(settings: Settings, reported: dict[Place, str], cells: dict[Place, Cell]) -> Iterator[Finding]:
    for place, cell in cells.items():
        if len(cell.benchmarks) != 1:
            continue
        name, value = cell.benchmarks[0], reported[place]
        total = settings.benchmarks[name].rows
        if total is None or possible_counts(value, total):
            continue
        below = floor(Fraction(value) * total / 100)
        nearest = " and ".join(f"{count}/{total} = {percent(Fraction(count, total))}" for count in (below, below + 1))
        yield Finding(
            "impossible",
            *place,
            value,
            finding=f"no count over {name}'s {total} rows gives {value}; nearest: {nearest}",
        )


def _averages(reported: dict[Place, str], cells: dict[Place, Cell]) -> Iterator[Finding]:
    for place, cell in cells.items():
        if len(cell.benchmarks) == 1:
            continue
        # Table 2 prints averages only; the values of the single benchmarks are printed in another table.
        tables = [place[0], *dict.fromkeys(other[0] for other in cells if other[0] != place[0])]
        for table in tables:
            single = {
                other.benchmarks[0]: Fraction(reported[at])
                for at, other in cells.items()
                if at[0] == table and other.runs == cell.runs and len(other.benchmarks) == 1
            }
            if set(cell.benchmarks) <= set(single):
                break
        else:
            continue
        parts = [single[name] for name in cell.benchmarks]
        mean = sum(parts, Fraction()) / len(parts)
        # The parts and the average are rounded, so each may differ by half a unit of its last digit.
        if abs(mean - Fraction(reported[place])) > 2 * HALF_DIGIT:
            where = "" if table == place[0] else f" in {table}"
            text = f"{reported[place]} is printed, but its {len(parts)} benchmarks{where} average {percent(mean / 100)}"
            yield Finding("average", *place, reported[place], finding=text)


def _contradictions(reported: dict[Place, str], cells: dict[Place, Cell]) -> Iterator[Finding]:
    first: dict[Content, Place] = {}
    for place, cell in cells.items():
        other = first.setdefault(_content(cell), place)
        if Fraction(reported[place]) != Fraction(reported[other]):
            text = f"{reported[place]} here, {reported[other]} in {other[0]} ({other[2]}, {other[3]}) for the same run"
            yield Finding("contradiction", *place, reported[place], finding=text)


def _reproduced(settings: Settings, cells: dict[Place, Cell]) -> Iterator[Finding]:
    for table in dict.fromkeys(place[0] for place in cells):
        for cell in compared(settings, table):
            yield Finding(
                "reproduced",
                cell.table,
                cell.group,
                cell.row,
                cell.column,
                f"{cell.reported_percent:.2f}",
                f"{cell.reproduced_percent:.2f}",
                signed(cell.ci_low),
                signed(cell.ci_high),
                signed(cell.difference),
                cell.verdict,
            )


def _markdown(settings: Settings, frame: pd.DataFrame) -> str:
    parts = [f"# Audit of {settings.reported_values or 'no reported values'}", "## Printed values that cannot be right"]
    problems = frame[frame["check"] != "reproduced"]
    listed = [f"- {describe(line)}" for line in problems.to_dict("records")]
    parts.append("\n".join(listed) or "Nothing was found.")
    parts.append("## Reported and reproduced values")
    reproduced = frame[frame["check"] == "reproduced"]
    if reproduced.empty:
        parts.append("No value is reproduced yet.")
    else:
        parts.append(f"{summary(list(reproduced['verdict']))}. {explained(settings)}")
        shown = reproduced[["table", "group", "row", "column", "reported_percent", "reproduced_percent", "difference"]]
        intervals = reproduced["ci_low"] + " … " + reproduced["ci_high"]
        shown = shown.assign(interval=intervals, verdict=reproduced["verdict"])
        headers = [*(name.replace("_percent", " (%)") for name in shown.columns)]
        parts.append(shown.to_markdown(index=False, headers=headers, disable_numparse=True))
    return "\n\n".join(parts) + "\n"
