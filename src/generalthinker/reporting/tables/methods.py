"""Rows are runs of different methods: averages, differences from a baseline, costs, and what a method needs."""

from dataclasses import replace
from typing import Any

from generalthinker.config.reporting import MethodTable
from generalthinker.config.settings import Settings
from generalthinker.records import slug
from generalthinker.reporting import accuracies
from generalthinker.reporting.costs import costs
from generalthinker.reporting.display import Display, DisplayedRow, Entry, signed, signed_interval
from generalthinker.reporting.tables import Differing, Gaps, RowLines, TableRow, averages

CAPTION = (
    "Unweighted mean accuracy of a group's benchmarks in percent, difference from the baseline in points, and the cost "
    f"of a training step. {accuracies.CAPTION}"
)
COSTS = {
    "step_seconds": "Step",
    "step_seconds_without_sampling": "Step after sampling",
    "peak_memory_gib": "Peak memory (GiB)",
}
FURTHER = "further models"


def rows(settings: Settings, spec: MethodTable) -> list[TableRow]:
    """Return a row per run; its cells are the averages of the groups."""
    return [
        replace(row, runs=tuple(run for run in row.cells[0].runs if run.seed is not None))
        for row in averages.rows(settings, spec)
    ]


def lines(settings: Settings, table: str, row: TableRow) -> list[dict[str, Any]]:
    """Return a line per cell, each with the costs of the row's runs."""
    of_runs = costs(settings, row.runs)
    return [line | of_runs for line in accuracies.lines(settings, table, row)]


def display(
    settings: Settings,
    table: str,
    spec: MethodTable,
    contents: list[tuple[TableRow, RowLines]],
    differing: Differing | None = None,
) -> Display:
    """Return the table with the runs marked that differ from the baseline, and those that do not."""
    methods = {slug(label): settings.methods[choice.method] for label, choice in spec.choices.items()}
    unit = next((row_lines for row, row_lines in contents if row.label == spec.unit_of_cost and row_lines), [])
    needs = list(dict.fromkeys(name for method in methods.values() for name in method.needs))
    marked = averages.marked(spec, contents, differing)
    shown = []
    for (row, row_lines), entries in zip(contents, marked, strict=True):
        compared = []
        for group, entry in zip(spec.groups, entries, strict=True):
            compared += [entry, _gap((differing or {}).get(("", group), {}), row.label, str(spec.baseline))]
        method = methods[row.key]
        needed = (str(len(method.models) or ""), *(method.needs[name] for name in needs))
        further = tuple(Entry(value, value) for value in needed)
        shown.append(DisplayedRow(None, row.label, (*compared, *_costs(row_lines, unit), *further)))
    by_group = [name for group in spec.groups for name in (group, f"{group} minus {spec.baseline}")]
    notes = accuracies.notes([row_lines for _, row_lines in contents], "column", spec.baseline, bool(differing))
    if notes:
        notes = (*notes, *averages.detectable(contents), _explained(spec))
    return Display(
        name=table,
        title=spec.title,
        label="Method",
        columns=(*by_group, *COSTS, FURTHER, *needs),
        headings=(
            *(heading for group in spec.groups for heading in (group, "Δ")),
            *COSTS.values(),
            *(name.capitalize() for name in (FURTHER, *needs)),
        ),
        numeric=(True,) * (len(by_group) + len(COSTS) + 1) + (False,) * len(needs),
        rows=tuple(shown),
        notes=notes,
    )


def _explained(spec: MethodTable) -> str:
    return (
        f"Δ: minus {spec.baseline}, in points. Step: seconds of a training step (median) relative to those of "
        f"{spec.unit_of_cost}, as these trainings took them beside whatever else ran; the row files have the seconds. "
        "Initial policy: the method's own quantities need its log-probabilities, the KL term aside."
    )


def _gap(gaps: Gaps, run: str, baseline: str) -> Entry:
    gap = gaps.get(frozenset((run, baseline)))
    if gap is None:
        return Entry("", "")
    interval = signed_interval(*gap.interval) if gap.interval else ""
    return Entry(signed(gap.difference), signed(gap.difference), interval=interval)


def _costs(row_lines: RowLines, unit: RowLines) -> tuple[Entry, ...]:
    """Return the row's costs: steps as multiples of the unit's, memory in GiB; empty where one is not known."""
    entries = []
    for name in COSTS:
        value = next((line.get(name, "") for line in row_lines), "")
        if name != "peak_memory_gib":
            of_unit = next((line.get(name, "") for line in unit), "")
            value = f"{float(value) / float(of_unit):.2f}" if value and of_unit else ""
        entries.append(Entry(value, value))
    return tuple(entries)
