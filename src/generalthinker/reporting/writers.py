"""The file formats of tables: CSV with plain numbers, Markdown with intervals and reported values, LaTeX."""

from csv import writer
from pathlib import Path

from tabulate import tabulate

from generalthinker.config.settings import Settings
from generalthinker.files import replacing, write_text
from generalthinker.reporting.accuracies import TIED
from generalthinker.reporting.display import Display, Entry
from generalthinker.reporting.rows import join_rows, partial_rows

LATEX_CHARACTERS = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{character: f"\\{character}" for character in "&%$#_{}"},
        # LaTeX would read these two as arguments of `\\` if they began a row.
        "[": "{[}",
        "*": "{*}",
        "<": r"$<$",
        ">": r"$>$",
        "|": r"$|$",
        "β": r"$\beta$",
        "τ": r"$\tau$",
        "ε": r"$\epsilon$",
        "π": r"$\pi$",
        "×": r"$\times$",
        "±": r"$\pm$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "°": r"\textdegree{}",
        "✓": r"$\checkmark$",
        "–": "--",
        "—": "---",
        "’": "'",
    }
)


def write_table(settings: Settings, table: str, row_files: list[Path], csv: Path, md: Path, tex: Path) -> None:
    """Write `table` from its row files in three formats; accuracies are percent with two decimals.

    Raises IncompleteResultsError if a row of the table has no file in `row_files`, which are joined by their names.
    """
    display = join_rows(settings, table, row_files)
    _write(display, csv_lines(display), csv, md, tex)


def write_partial_table(settings: Settings, table: str, csv: Path, md: Path, tex: Path) -> Display:
    """Write `table` in three formats from the results that exist, and return it; missing cells are empty.

    A last column of the CSV says how many cells of each row are missing, so that nobody takes it for the whole table.
    """
    display, missing = partial_rows(settings, table)
    heading, *body = csv_lines(display)
    counted = [[*line, str(count)] for line, count in zip(body, missing or [0] * len(body), strict=True)]
    _write(display, [[*heading, "missing_cells"], *counted], csv, md, tex)
    return display


def _write(display: Display, lines: list[list[str]], csv: Path, md: Path, tex: Path) -> None:
    with replacing(csv) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer(file, lineterminator="\n").writerows(lines)
    write_text(md, markdown(display))
    write_text(tex, latex(display))


def csv_lines(display: Display) -> list[list[str]]:
    """Return the lines of the CSV, headings first: group (where there is one), row label, then a column per value."""
    grouped = any(row.group is not None for row in display.rows)
    label = display.label.lower().replace("-", "")
    heading = [*(["group"] if grouped else []), label, *display.columns]
    values = [[row.label, *(entry.value for entry in row.entries[: len(display.columns)])] for row in display.rows]
    groups = [[row.group or ""] if grouped else [] for row in display.rows]
    return [heading, *(group + line for group, line in zip(groups, values, strict=True))]


def markdown(display: Display) -> str:
    """Return the table as GitHub Markdown with its title above and its notes below."""
    body = []
    for group, rows in display.groups.items():
        if group is not None:
            body.append([f"**{_pipe(group)}**"] + [""] * len(display.headings))
        for row in rows:
            label = f"*{_pipe(row.label)}*" if row.average else _pipe(row.label)
            body.append([label, *(_markdown_entry(entry) for entry in row.entries)])
    text = tabulate(
        body,
        headers=[display.label, *map(_pipe, display.headings)],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["left", *("right" if numeric else "left" for numeric in display.numeric)],
    )
    notes = f"\n\n{' '.join(filter(None, display.notes))}" if display.notes else ""
    return f"**{display.heading}**\n\n{text}{notes}\n"


def latex(display: Display) -> str:
    """Return the table as a LaTeX float; it needs the packages booktabs and amssymb (for check marks)."""
    width = len(display.headings) + 1
    alignment = "l" + "".join("r" if numeric else "l" for numeric in display.numeric)
    lines = [
        r"% \usepackage{booktabs,amssymb}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(display.title)}}}",
        rf"\label{{tab:{display.name}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _latex_line([display.label, *display.headings]),
    ]
    for group, rows in display.groups.items():
        lines.append(r"\midrule")
        if group is not None:
            lines += [rf"\multicolumn{{{width}}}{{l}}{{\textit{{{escape(group)}}}}} \\", r"\midrule"]
        for row in rows:
            if row.average:
                lines.append(rf"\cmidrule(lr){{1-{width}}}")
            entries = [_latex_entry(entry) for entry in row.entries]
            lines.append(" & ".join([escape(row.label), *entries]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    # The first note explains intervals and the paper's values, which the LaTeX table does not print.
    lines += [rf"\par\smallskip\footnotesize {escape(note)}" for note in display.notes[1:]]
    return "\n".join([*lines, r"\end{table}", ""])


def escape(text: str) -> str:
    r"""Return `text` with everything that LaTeX would read as a command escaped.

    >>> escape("Math & STEM, 50 %_#")
    'Math \\& STEM, 50 \\%\\_\\#'
    """
    return text.translate(LATEX_CHARACTERS)


def _markdown_entry(entry: Entry) -> str:
    text = f"**{_pipe(entry.text)}**" if entry.best else _pipe(entry.text)
    if entry.tied:
        text += TIED
    if entry.deviation:
        text += f" ± {entry.deviation}"
    if entry.interval:
        text += f" <sub>{entry.interval}</sub>"
    if entry.reported:
        text += f" ({entry.reported})"
    return text


def _pipe(text: str) -> str:
    return text.replace("|", r"\|")


def _latex_line(cells: list[str]) -> str:
    return " & ".join(escape(cell) for cell in cells) + r" \\"


def _latex_entry(entry: Entry) -> str:
    text = rf"\textbf{{{escape(entry.text)}}}" if entry.best else escape(entry.text)
    if entry.tied:
        text += escape(TIED)
    return text + (rf" {{\scriptsize $\pm$ {entry.deviation}}}" if entry.deviation else "")
