"""Validation accuracy over steps and over seconds of training, with one curve per run."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from generalthinker.config.reporting import LearningFigure
from generalthinker.config.settings import Settings
from generalthinker.files import read_json, read_parquet
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.reporting.figures import COLOURS, DASHES, Sources, finish, grid
from generalthinker.reporting.measure import IncompleteResultsError


def draw(settings: Settings, spec: LearningFigure) -> Figure:
    """Return a panel over steps and one over seconds; several seeds are their mean, in a band of one deviation."""
    figure, axes = grid(2, 4.6, share_y=True)
    for index, (name, choice) in enumerate(spec.runs.items()):
        curves = pd.concat([_curve(settings, run) for run in settings.runs(choice)]).groupby("step")
        mean, spread = curves.mean(), curves["accuracy"].std()
        for axis, across in zip(axes, (mean.index.to_series(), mean["seconds"]), strict=True):
            _draw(axis, across, mean["accuracy"], spread, name, index)
    axes[0].set(xlabel="optimizer step", ylabel="validation accuracy (%)")
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    axes[1].set(xlabel="seconds of training, validation aside")
    band = "\n(band: standard deviation over seeds)" if len(settings.seeds) > 1 else ""
    finish(figure, axes, f"{spec.title}{band}", len(spec.runs))
    return figure


def sources(settings: Settings, spec: LearningFigure) -> Sources:
    """Return the trainings that are drawn."""
    return Sources(runs=tuple(run for choice in spec.runs.values() for run in settings.runs(choice)))


def _curve(settings: Settings, run: RunSpec) -> pd.DataFrame:
    """Return the accuracy (%) and the seconds until then at every validated step; raises IncompleteResultsError."""
    layout = Layout(settings.results)
    try:
        record, (timing, _) = read_json(layout.run_record(run.name)), read_parquet(layout.timing(run.name))
    except FileNotFoundError as error:
        path = layout.run_record(run.name)
        raise IncompleteResultsError(f"{error.filename}: no such file; run `snakemake {path}` first") from None
    validated = record.get("validation") or []
    if not validated:
        raise IncompleteResultsError(f"{run.name}: the training was not validated; set training.validate_every")
    frame = pd.DataFrame(validated).set_index("step")
    seconds = timing.set_index("step")["seconds"].cumsum()
    return pd.DataFrame({"accuracy": 100 * frame["accuracy"], "seconds": seconds.reindex(frame.index)})


def _draw(axis: Axes, across: pd.Series, mean: pd.Series, spread: pd.Series, name: str, index: int) -> None:
    colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
    axis.plot(across, mean, color=colour, linestyle=dash, marker="o", markersize=3, linewidth=1.7, label=name)
    if spread.notna().any():
        axis.fill_between(across, mean - spread, mean + spread, color=colour, alpha=0.12, linewidth=0)
