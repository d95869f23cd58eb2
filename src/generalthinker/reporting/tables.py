"""Tables as files: CSV with plain numbers, Markdown with intervals and the paper's values, LaTeX for a paper."""

from pathlib import Path

import pandas as pd
from tabulate import tabulate

from generalthinker.config.settings import Settings
from generalthinker.files import replacing, write_text
from generalthinker.reporting.display import Display, Entry, build

LATEX_CHARACTERS = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{character: f"\\{character}" for character in "&%$#_{}"},
        # After a line's end LaTeX would read these two as arguments of the line break.
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
        "✓": r"$\checkmark$",
        "–": "--",
        "—": "---",
        "’": "'",
    }
)


def write_table(settings: Settings, table: str, row_files: list[Path], csv: Path, md: Path, tex: Path) -> None:
    """Write `table` from its row files in three formats; accuracies are percent with two decimals.

    Raises IncompleteResultsError if a row of the table is in none of `row_files`.
    """
    display = build(settings, table, row_files)
    with replacing(csv) as temporary:
        csv_frame(display).to_csv(temporary, index=False, lineterminator="\n")
    write_text(md, markdown(display))
    write_text(tex, latex(display))


def csv_frame(display: Display) -> pd.DataFrame:
    """Return the table with one column per value: group (where there is one), row label, then the columns."""
    grouped = any(line.group is not None for line in display.lines)
    lines = [
        ([line.group] if grouped else []) + [line.label, *(entry.value for entry in line.entries)]
        for line in display.lines
    ]
    label = display.label.lower().replace("-", "")
    return pd.DataFrame(lines, columns=[*(["group"] if grouped else []), label, *display.columns])


def markdown(display: Display) -> str:
    """Return the table as GitHub Markdown with its title above and its notes below."""
    body = []
    for group, lines in display.groups.items():
        if group is not None:
            body.append([f"**{_pipe(group)}**"] + [""] * len(display.headings))
        for line in lines:
            label = f"*{_pipe(line.label)}*" if line.average else _pipe(line.label)
            body.append([label, *(_markdown_entry(entry) for entry in line.entries)])
    text = tabulate(
        body,
        headers=[display.label, *map(_pipe, display.headings)],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["left", *("right" if numeric else "left" for numeric in display.numeric)],
    )
    notes = f"\n\n{' '.join(display.notes)}" if display.notes else ""
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
    for group, members in display.groups.items():
        lines.append(r"\midrule")
        if group is not None:
            lines += [rf"\multicolumn{{{width}}}{{l}}{{\textit{{{escape(group)}}}}} \\", r"\midrule"]
        for line in members:
            if line.average:
                lines.append(rf"\cmidrule(lr){{1-{width}}}")
            entries = [_latex_entry(entry) for entry in line.entries]
            lines.append(" & ".join([escape(line.label), *entries]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    # The LaTeX table prints neither intervals nor the paper's values, so only the other notes belong under it.
    lines += [rf"\par\smallskip\footnotesize {escape(note)}" for note in display.notes[1:]]
    return "\n".join([*lines, r"\end{table}", ""])


def escape(text: str) -> str:
    r"""Return `text` with everything that LaTeX would read as a command made printable.

    >>> escape("Math & STEM, 50 %_#")
    'Math \\& STEM, 50 \\%\\_\\#'
    """
    return text.translate(LATEX_CHARACTERS)


def _markdown_entry(entry: Entry) -> str:
    text = f"**{_pipe(entry.text)}**" if entry.best else _pipe(entry.text)
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
    return text + (rf" {{\scriptsize $\pm$ {entry.deviation}}}" if entry.deviation else "")
