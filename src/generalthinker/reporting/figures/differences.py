"""Differences of a table's runs, with their intervals."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from generalthinker.config.reporting import DifferencesFigure
from generalthinker.config.settings import Settings
from generalthinker.paths import Layout
from generalthinker.reporting.families import families, read_differing
from generalthinker.reporting.figures import COLOURS, Sources
from generalthinker.reporting.measure import IncompleteResultsError
from generalthinker.reporting.tables import Differing, rows


def draw(settings: Settings, spec: DifferencesFigure) -> Figure:
    """Return the differences from the baseline, one panel per group, in the order of the table."""
    compared = families(settings, spec.table)
    differing = _compared(settings, spec.table)
    height = 1.3 + 0.24 * max(len(family.pairs) for family in compared)
    figure, axes = plt.subplots(
        1, len(compared), figsize=(2.6 + 3.2 * len(compared), height), layout="constrained", squeeze=False, sharey=True
    )
    for axis, family in zip(axes.flat, compared, strict=True):
        gaps = differing[(family.group, family.label)]
        for place, pair in enumerate(family.pairs):
            gap = gaps[frozenset(pair)]
            colour = COLOURS[0] if gap.differs else COLOURS[6]
            if gap.interval:
                axis.plot(gap.interval, [place] * 2, color=colour, linewidth=1.6)
            axis.plot(gap.difference, place, "o", color=colour, markersize=4.5)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(" ".join(filter(None, (family.group, family.label))))
        axis.set_xlabel("points, 95 % interval")
        axis.grid(visible=False, axis="y")
        axis.locator_params(axis="x", nbins=6)
    names = [f"{run} − {other}" if family.baseline is None else run for run, other in family.pairs]
    axes.flat[0].set_yticks(range(len(names)), names, fontsize=8)
    axes.flat[0].invert_yaxis()
    than = f" (minus {family.baseline})" if family.baseline else ""
    figure.suptitle(f"{spec.title}{than}\nblue: told apart (Holm, 5 %)", fontsize=11)
    return figure


def sources(settings: Settings, spec: DifferencesFigure) -> Sources:
    """Return the accuracies that are compared."""
    return Sources(cells=tuple(cell for row in rows(settings, spec.table).values() for cell in row.cells))


def _compared(settings: Settings, table: str) -> Differing:
    path = Path(Layout(settings.results).differences(table, "csv"))
    if not path.exists():
        raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
    return read_differing(path)
