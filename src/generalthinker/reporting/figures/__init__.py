"""Figures: one module per kind, all with the same functions; a figure's `kind` is the name of its module.

A module has `draw`, which returns the figure, and `sources`, which returns the cells and the training runs behind it.
"""

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple, Protocol, cast

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from generalthinker.config.settings import Settings
from generalthinker.files import replacing
from generalthinker.records import RunSpec
from generalthinker.reporting.other_code import other_code_of_cell, other_training_code
from generalthinker.reporting.tables import Cell

# Okabe and Ito's colours: people with colour blindness can distinguish them. Yellow is left out: its contrast is weak.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#4D4D4D")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))
NAMED = 4  # results of other code that a figure names: a longer note would leave no room for the axes
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


class Sources(NamedTuple):
    """What a figure is made of: accuracies, and training runs."""

    cells: tuple[Cell, ...] = ()
    runs: tuple[RunSpec, ...] = ()


class FigureKind(Protocol):
    """A module of this package; `spec` is the figure's section of the settings."""

    def draw(self, settings: Settings, spec: Any) -> Figure:
        """Return the figure. Raises IncompleteResultsError if a result that it needs does not exist."""
        ...

    def sources(self, settings: Settings, spec: Any) -> Sources:
        """Return what the figure is made of."""
        ...


def write_figure(settings: Settings, name: str, png: Path, pdf: Path) -> None:
    """Draw figure `name` to `png` and `pdf`; the same results give the same bytes.

    Raises IncompleteResultsError if a result that it needs does not exist.
    """
    spec = settings.figures[name]
    kind = cast(FigureKind, importlib.import_module(f"{__name__}.{spec.kind}"))
    with style():
        figure = kind.draw(settings, spec)
        mark_other_code(figure, _other_code(settings, kind.sources(settings, spec)))
        save(figure, png, pdf)


def mark_other_code(figure: Figure, sentences: list[str]) -> None:
    """Write below the figure what in it other code made, if anything."""
    if sentences:
        more = [f"and {len(sentences) - NAMED} more, see `generalthinker status`"] if len(sentences) > NAMED else []
        note = f"NOT MADE BY THIS CODE: {'; '.join(sentences[:NAMED] + more)}."
        figure.supxlabel(fill(note, 110), fontsize=7, color="#B00000")


def _other_code(settings: Settings, sources: Sources) -> list[str]:
    """Return one sentence for each result in the figure that other code made."""
    sentences = [sentence for cell in sources.cells for sentence in other_code_of_cell(settings, cell)]
    sentences += [sentence for run in sources.runs if (sentence := other_training_code(settings, run))]
    return list(dict.fromkeys(sentences))


def save(figure: Figure, png: Path, pdf: Path) -> None:
    """Write `figure` as `png` and `pdf` without dates and versions, which would make equal figures differ."""
    try:
        with replacing(png) as temporary:
            figure.savefig(temporary, metadata={"Software": None})
        with replacing(pdf) as temporary:
            figure.savefig(temporary, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    finally:
        plt.close(figure)


@contextmanager
def style() -> Iterator[None]:
    """Apply this project's style to every figure drawn inside the `with` block."""
    with plt.style.context("default"), matplotlib.rc_context(STYLE):
        yield


def grid(count: int, width: float, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure of `count` panels, `width` inches wide each: two per line, or one if wider than 6 inches."""
    columns = min(count, 2 if width <= 6 else 1)
    lines = math.ceil(count / columns)
    size = (0.8 + width * columns, 0.9 + 3.0 * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, layout="constrained", squeeze=False, sharey=share_y)
    for unused in axes.flat[count:]:
        unused.remove()
    return figure, list(axes.flat[:count])


def finish(figure: Figure, axes: list[Axes], title: str, entries: int) -> None:
    """Write the title, and the legend of the first panel below all of them."""
    figure.suptitle(title, fontsize=12)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(entries, 5), handlelength=2.6)
