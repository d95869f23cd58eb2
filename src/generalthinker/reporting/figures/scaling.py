"""Group averages over model sizes, with one bar per method (Figure 3)."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from generalthinker.config.reporting import RunChoice, ScalingFigure
from generalthinker.config.settings import Settings
from generalthinker.reporting.figures import COLOURS, Sources, finish, grid
from generalthinker.reporting.measure import GradeFiles, measure
from generalthinker.reporting.statistics import percent
from generalthinker.reporting.tables import Cell


def draw(settings: Settings, spec: ScalingFigure) -> Figure:
    """Return one panel per group, with 95 % intervals over questions."""
    panels = _panels(settings, spec)
    figure, axes = grid(len(panels), _panel_width(spec), share_y=True)
    grades = GradeFiles(settings)
    tops = []
    for axis, (group, cells) in zip(axes, panels.items(), strict=True):
        axis.set_title(group)
        tops.append(_bars(settings, spec, axis, cells, grades))
    axes[0].set_ylim(0, max(tops) * 1.1 or 1)
    axes[0].set_ylabel("average accuracy (%)")
    finish(figure, axes, spec.title, len(spec.methods))
    return figure


def sources(settings: Settings, spec: ScalingFigure) -> Sources:
    """Return the averages that are drawn."""
    return Sources(cells=tuple(cell for cells in _panels(settings, spec).values() for cell in cells))


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
