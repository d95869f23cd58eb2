"""Training metrics over steps, with one curve per run (Figure 4)."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from generalthinker.config.reporting import DynamicsFigure
from generalthinker.config.settings import Settings
from generalthinker.files import read_parquet
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.reporting.figures import COLOURS, DASHES, Sources, finish, grid
from generalthinker.reporting.measure import IncompleteResultsError

SMOOTH_FROM_STEPS = 30


def draw(settings: Settings, spec: DynamicsFigure) -> Figure:
    """Return one panel per metric; several seeds are their mean, in a band of one standard deviation."""
    figure, axes = grid(len(spec.metrics), 4.6)
    histories = {label: _histories(settings, settings.runs(choice)) for label, choice in spec.runs.items()}
    smoothed = False
    for axis, metric in zip(axes, spec.metrics, strict=True):
        described = settings.metrics[metric]
        for index, (name, history) in enumerate(histories.items()):
            if metric not in history:
                raise IncompleteResultsError(
                    f"training history of {name!r} has no column {metric!r}; found: {list(history.columns)}"
                )
            smoothed |= _curve(axis, history[metric].unstack("seed").dropna(how="all"), name, index)
        axis.set(title=described.title, ylabel=described.label, xlabel="optimizer step")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axis.margins(x=0.02)
    explained = ["faint: every step; strong: moving median"] if smoothed else []
    explained += ["band: standard deviation over seeds"] if len(settings.seeds) > 1 else []
    title = f"{spec.title}\n({'; '.join(explained)})" if explained else spec.title
    finish(figure, axes, title, len(histories))
    return figure


def sources(settings: Settings, spec: DynamicsFigure) -> Sources:
    """Return the trainings that are drawn."""
    return Sources(runs=tuple(run for choice in spec.runs.values() for run in settings.runs(choice)))


def smooth(values: pd.DataFrame) -> pd.DataFrame:
    """Return the centred moving median over a twentieth of the steps (at least five), shorter at both ends.

    One outlier does not change it; a moving average would make a plateau of it.
    """
    return values.rolling(max(5, len(values) // 20 | 1), center=True, min_periods=1).median()


def _curve(axis: Axes, values: pd.DataFrame, name: str, index: int) -> bool:
    """Draw the mean of several seeds (steps × seeds) with its band; a long curve as its moving median in front of its
    faint values. Return whether it was smoothed."""
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    if long := len(values) >= SMOOTH_FROM_STEPS:
        faintness = 0.2 if len(values) > 300 else 0.35
        axis.plot(values.index, values.mean(axis=1), color=colour, alpha=faintness, linewidth=0.6, zorder=1.5)
        values = smooth(values)
    mean = values.mean(axis=1)
    axis.plot(values.index, mean, color=colour, linestyle=dash, linewidth=1.9, label=name, zorder=3)
    if values.shape[1] > 1:
        spread = values.std(axis=1)
        axis.fill_between(values.index, mean - spread, mean + spread, color=colour, alpha=0.12, linewidth=0, zorder=1)
    return long


def _histories(settings: Settings, runs: list[RunSpec]) -> pd.DataFrame:
    """Return the metrics of all runs by step and seed."""
    frames = {}
    for run in runs:
        path = Layout(settings.results).history(run.name)
        if not Path(path).exists():
            raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
        frame, _ = read_parquet(path)
        frames[run.seed] = frame.apply(pd.to_numeric, errors="coerce").set_index("step")
    return pd.concat(frames, names=["seed"]).swaplevel()
