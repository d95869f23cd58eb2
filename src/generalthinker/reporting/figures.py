"""Figures: group averages over model sizes (Figure 3) and training metrics over steps (Figure 4)."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from generalthinker.config.reporting import DifferencesFigure, DynamicsFigure, RunChoice, ScalingFigure
from generalthinker.config.settings import Settings
from generalthinker.files import read_parquet, replacing
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.reporting.families import families, read_differing
from generalthinker.reporting.measure import GradeFiles, IncompleteResultsError, measure
from generalthinker.reporting.other_code import other_code_of_cell, other_training_code
from generalthinker.reporting.statistics import percent
from generalthinker.reporting.tables import Cell, Differing, rows

# Okabe and Ito's colours: people with colour blindness can distinguish them. Yellow is left out: its contrast is weak.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#4D4D4D")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # TrueType: text in the PDF can be selected
    "figure.dpi": 100,
    "savefig.dpi": 200,
}
SMOOTH_FROM_STEPS = 30


def write_figure(settings: Settings, name: str, png: Path, pdf: Path) -> None:
    """Draw figure `name` to `png` and `pdf`; the same results give the same bytes.

    Raises IncompleteResultsError if a grades file or training history that it needs does not exist.
    """
    spec = settings.figures[name]
    with style():
        if isinstance(spec, ScalingFigure):
            figure = _scaling(settings, spec)
        elif isinstance(spec, DifferencesFigure):
            figure = _differences(settings, spec)
        else:
            figure = _dynamics(settings, spec)
        if others := _other_code(settings, spec):
            figure.supxlabel(fill(f"NOT MADE BY THIS CODE: {'; '.join(others)}.", 110), fontsize=7, color="#B00000")
        save(figure, png, pdf)


def save(figure: Figure, png: Path, pdf: Path) -> None:
    """Write `figure` as `png` and `pdf` without dates and versions, which would make equal figures differ."""
    try:
        with replacing(png) as temporary:
            figure.savefig(temporary, metadata={"Software": None})
        with replacing(pdf) as temporary:
            figure.savefig(temporary, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    finally:
        plt.close(figure)


def smooth(values: pd.Series) -> pd.Series:
    """Return the centred moving average over a twentieth of the steps (at least five), shorter at both ends."""
    return values.rolling(max(5, len(values) // 20 | 1), center=True, min_periods=1).mean()


@contextmanager
def style() -> Iterator[None]:
    """Apply this project's style to every figure drawn inside the `with` block."""
    with plt.style.context("default"), matplotlib.rc_context(STYLE):
        yield


def _scaling(settings: Settings, spec: ScalingFigure) -> Figure:
    panels = _panels(settings, spec)
    figure, axes = grid(len(panels), _panel_width(spec), share_y=True)
    grades = GradeFiles(settings)
    tops = []
    for axis, (group, cells) in zip(axes, panels.items(), strict=True):
        axis.set_title(group)
        tops.append(_bars(settings, spec, axis, cells, grades))
    axes[0].set_ylim(0, max(tops) * 1.1 or 1)
    axes[0].set_ylabel("average accuracy (%)")
    _finish(figure, axes, spec.title, len(spec.methods))
    return figure


def _panels(settings: Settings, spec: ScalingFigure) -> dict[str, list[Cell]]:
    """Return group → the group's average for every method and model, method by method."""
    choices = [RunChoice(model=model, method=method) for method in spec.methods for model in spec.models]
    return {
        group: [
            Cell(f"{choice.method}/{choice.model}", tuple(settings.runs(choice)), tuple(settings.groups[group]))
            for choice in choices
        ]
        for group in spec.groups
    }


def _differences(settings: Settings, spec: DifferencesFigure) -> Figure:
    """Return the differences from the baseline, one panel per group, with the order of the table."""
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
                axis.plot([float(end) for end in gap.interval.split(" … ")], [place] * 2, color=colour, linewidth=1.6)
            axis.plot(float(gap.difference), place, "o", color=colour, markersize=4.5)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(" ".join(filter(None, (family.group, family.label))))
        axis.set_xlabel("points, 95 % interval")
        axis.grid(visible=False, axis="y")
    names = [f"{run} − {other}" if family.baseline is None else run for run, other in family.pairs]
    axes.flat[0].set_yticks(range(len(names)), names, fontsize=8)
    axes.flat[0].invert_yaxis()
    than = f" (minus {family.baseline})" if family.baseline else ""
    figure.suptitle(f"{spec.title}{than}\nblue: told apart (Holm, 5 %)", fontsize=11)
    return figure


def _compared(settings: Settings, table: str) -> Differing:
    path = Path(Layout(settings.results).differences(table, "csv"))
    if not path.exists():
        raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
    return read_differing(path)


def _other_code(settings: Settings, spec: ScalingFigure | DynamicsFigure | DifferencesFigure) -> list[str]:
    """Return one sentence for each result in the figure that other code made."""
    if isinstance(spec, DifferencesFigure):
        cells = [cell for row in rows(settings, spec.table).values() for cell in row.cells]
        return list(dict.fromkeys(sentence for cell in cells for sentence in other_code_of_cell(settings, cell)))
    if isinstance(spec, DynamicsFigure):
        runs = [run for choice in spec.runs.values() for run in settings.runs(choice)]
        return [sentence for run in runs if (sentence := other_training_code(settings, run))]
    cells = [cell for cells in _panels(settings, spec).values() for cell in cells]
    return list(dict.fromkeys(sentence for cell in cells for sentence in other_code_of_cell(settings, cell)))


def _panel_width(spec: ScalingFigure) -> float:
    return max(2.6, 0.52 * len(spec.methods) * len(spec.models) + 0.6)


def _bars(settings: Settings, spec: ScalingFigure, axis: Axes, cells: list[Cell], grades: GradeFiles) -> float:
    """Draw one group's bars with 95 % intervals and return the highest interval's end in percent."""
    measured = [measure(grades, cell) for cell in cells]
    width = 0.8 / len(spec.methods)
    top = max(cell.interval.high for cell in measured) * 100
    for index, method in enumerate(spec.methods):
        part = measured[index * len(spec.models) : (index + 1) * len(spec.models)]
        heights = [float(cell.accuracy) * 100 for cell in part]
        places = [at + (index - (len(spec.methods) - 1) / 2) * width for at in range(len(part))]
        whiskers = [
            [height - cell.interval.low * 100 for height, cell in zip(heights, part, strict=True)],
            [cell.interval.high * 100 - height for height, cell in zip(heights, part, strict=True)],
        ]
        axis.bar(places, heights, width * 0.92, color=COLOURS[index % len(COLOURS)], label=method)
        axis.errorbar(places, heights, whiskers, fmt="none", ecolor="#333333", elinewidth=1, capsize=2.5)
        for place, cell in zip(places, part, strict=True):
            above = cell.interval.high * 100 + top * 0.015
            axis.text(place, above, percent(cell.accuracy), ha="center", va="bottom", fontsize=8, color="#222222")
    axis.set_xticks(range(len(spec.models)), [settings.models[name].label for name in spec.models])
    axis.set_xlabel("model")
    axis.grid(visible=False, axis="x")
    return top


def _dynamics(settings: Settings, spec: DynamicsFigure) -> Figure:
    figure, axes = grid(len(spec.metrics), 4.6)
    histories = {label: _history(settings, settings.runs(choice)) for label, choice in spec.runs.items()}
    smoothed = False
    for axis, metric in zip(axes, spec.metrics, strict=True):
        described = settings.metrics[metric]
        for index, (name, history) in enumerate(histories.items()):
            if metric not in history:
                raise IncompleteResultsError(
                    f"training history of {name!r} has no column {metric!r}; found: {list(history.columns)}"
                )
            smoothed |= _curve(axis, history[metric].dropna(), name, index)
        axis.set(title=described.title, ylabel=described.label, xlabel="optimizer step")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axis.margins(x=0.02)
    title = f"{spec.title}\n(faint: every step; strong: moving average)" if smoothed else spec.title
    _finish(figure, axes, title, len(histories))
    return figure


def _curve(axis: Axes, values: pd.Series, name: str, index: int) -> bool:
    """Draw one curve; a long one as its moving average in front of its faint values. Return whether it was smoothed."""
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    if long := len(values) >= SMOOTH_FROM_STEPS:
        faintness = 0.2 if len(values) > 300 else 0.35
        axis.plot(values.index, values, color=colour, alpha=faintness, linewidth=0.6, zorder=1.5)
        values = smooth(values)
    axis.plot(values.index, values, color=colour, linestyle=dash, linewidth=1.9, label=name, zorder=3)
    return long


def _history(settings: Settings, runs: list[RunSpec]) -> pd.DataFrame:
    """Return the metrics by step, averaged over the runs (seeds)."""
    frames = []
    for run in runs:
        path = Layout(settings.results).history(run.name)
        if not Path(path).exists():
            raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
        frame, _ = read_parquet(path)
        frames.append(frame.apply(pd.to_numeric, errors="coerce").set_index("step"))
    return pd.concat(frames).groupby(level="step").mean()


def grid(count: int, width: float, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure of `count` panels, `width` inches wide each: two per line, or one if wider than 6 inches."""
    columns = min(count, 2 if width <= 6 else 1)
    lines = math.ceil(count / columns)
    size = (0.8 + width * columns, 0.9 + 3.0 * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, layout="constrained", squeeze=False, sharey=share_y)
    for unused in axes.flat[count:]:
        unused.remove()
    return figure, list(axes.flat[:count])


def _finish(figure: Figure, axes: list[Axes], title: str, entries: int) -> None:
    figure.suptitle(title, fontsize=12)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(entries, 5), handlelength=2.6)
