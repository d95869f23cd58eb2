"""The reproduced accuracies beside the paper's: the interval of each difference, and what it allows to say.

The paper publishes no answers to single questions, so the two values are compared as independent ones: Newcombe's
interval, as if the paper's value had been measured with as many questions. That the paper's value lies inside the
reproduced interval would not show that the two agree.
"""

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from generalthinker.config.settings import Settings
from generalthinker.files import replacing, write_text
from generalthinker.paths import Layout
from generalthinker.reporting.display import signed, signed_interval, spoken
from generalthinker.reporting.rows import read_row
from generalthinker.reporting.statistics import Interval, interval_of_difference
from generalthinker.reporting.tables import rows

AGREES, DIFFERS, CANNOT_TELL = "agrees", "differs", "cannot tell"


@dataclass(frozen=True, slots=True)
class Compared:
    """One cell: ours and the paper's accuracy in percent; ours minus the paper's with its 95 % interval, in points."""

    table: str
    group: str
    row: str
    column: str
    reproduced_percent: float
    reported_percent: float
    difference: float
    ci_low: float
    ci_high: float
    verdict: str


def verdict(interval: Interval, margin: float) -> str:
    """Return what the 95 % interval of a difference says: within ± `margin`, away from 0, or neither.

    A difference that is within the margin agrees, even if it is not 0.
    """
    if -margin <= interval.low and interval.high <= margin:
        return AGREES
    return DIFFERS if interval.low > 0 or interval.high < 0 else CANNOT_TELL


def compared(settings: Settings, table: str) -> list[Compared]:
    """Return the cells of `table` that the paper reports too, from those row files that exist."""
    found = []
    for key in rows(settings, table):
        path = Path(Layout(settings.results).row(table, key))
        for line in read_row(path) if path.exists() else []:
            if line.get("reported_percent"):
                found.append(_compared(line, settings.equivalence_margin))
    return found


def _compared(line: dict[str, str], margin: float) -> Compared:
    ours, paper = float(line["accuracy_percent"]), float(line["reported_percent"])
    of_ours = Interval(float(line["ci_low"]), float(line["ci_high"]))
    of_paper = Interval(float(line["reported_ci_low"]), float(line["reported_ci_high"]))
    interval = interval_of_difference(ours, of_ours, paper, of_paper)
    return Compared(
        table=line["table"],
        group=line["group"],
        row=line["row"],
        column=line["column"],
        reproduced_percent=ours,
        reported_percent=paper,
        difference=round(ours - paper, 2),
        ci_low=round(interval.low, 2),
        ci_high=round(interval.high, 2),
        verdict=verdict(interval, margin),
    )


def summary(verdicts: list[str]) -> str:
    """Return how many cells have each verdict."""
    return ", ".join(f"{verdicts.count(name)} × {name}" for name in (AGREES, DIFFERS, CANNOT_TELL))


def explained(settings: Settings) -> str:
    """Return what the verdicts mean."""
    return (
        f"A value agrees if the 95 % interval of the difference is within ± {settings.equivalence_margin:g} points; "
        "it differs if the interval does not contain 0; otherwise one cannot tell. Newcombe's interval, as if the "
        "paper had asked the same number of questions. Neither side's variation over training seeds is in it."
    )


def write_comparison(settings: Settings, table: str, csv_file: Path, md: Path, png: Path, pdf: Path) -> None:
    """Write the comparison of `table` with the paper as CSV, Markdown and figure; empty without reported values."""
    found = compared(settings, table)
    with replacing(csv_file) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Compared)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(cell) for cell in found)
    write_text(md, _markdown(settings, table, found))
    _draw(settings, table, found, png, pdf)


def _markdown(settings: Settings, table: str, found: list[Compared]) -> str:
    from tabulate import tabulate

    heading = f"# {spoken(table)} beside the paper's"
    explanation = f"{summary([cell.verdict for cell in found])}. {explained(settings)}"
    headers = ["group", "row", "column", "ours", "paper", "difference", "95 % interval", "verdict"]
    lines = [
        [
            cell.group,
            cell.row,
            cell.column,
            f"{cell.reproduced_percent:.2f}",
            f"{cell.reported_percent:.2f}",
            signed(cell.difference),
            signed_interval(cell.ci_low, cell.ci_high),
            cell.verdict,
        ]
        for cell in found
    ]
    listed = tabulate(lines, headers=headers, tablefmt="pipe", disable_numparse=True)
    return f"{heading}\n\n{explanation}\n\n{listed}\n"


def _draw(settings: Settings, table: str, found: list[Compared], png: Path, pdf: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from generalthinker.reporting.figures import COLOURS, save, style

    colours = {AGREES: COLOURS[2], DIFFERS: COLOURS[3], CANNOT_TELL: COLOURS[6]}
    with style():
        figure = Figure(figsize=(7.5, 1.4 + 0.22 * max(len(found), 1)), layout="constrained")
        axis = figure.subplots()
        axis.axvspan(-settings.equivalence_margin, settings.equivalence_margin, color="#F0F0F0", zorder=0)
        axis.axvline(0, color="black", linewidth=0.8)
        for place, cell in enumerate(found):
            colour = colours[cell.verdict]
            axis.plot([cell.ci_low, cell.ci_high], [place, place], color=colour, linewidth=1.5)
            axis.plot(cell.difference, place, "o", color=colour, markersize=4)
        labels = [" · ".join(filter(None, (cell.row, cell.column))) for cell in found]
        axis.set_yticks(range(len(found)), labels, fontsize=7)
        axis.invert_yaxis()
        axis.grid(visible=False, axis="y")
        axis.set_xlabel("ours minus the paper's, in points, with 95 % interval")
        marks = [Line2D([], [], color=colour, marker="o", markersize=4, label=name) for name, colour in colours.items()]
        figure.legend(handles=marks, loc="outside upper right", ncols=3, fontsize=8)
        figure.suptitle(
            f"{spoken(table)}; grey: within ± {settings.equivalence_margin:g} points", fontsize=11, x=0.02, ha="left"
        )
        save(figure, png, pdf)
