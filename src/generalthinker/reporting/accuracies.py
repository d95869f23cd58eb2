"""Accuracies in row files and in printed tables, for all kinds of tables that show accuracies."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from generalthinker.config.settings import Settings
from generalthinker.files import read_json
from generalthinker.paths import Layout
from generalthinker.records import slug
from generalthinker.reporting.display import Entry
from generalthinker.reporting.measure import SEPARATOR, GradeFiles, Measurement, measure
from generalthinker.reporting.other_code import other_code_of_cell
from generalthinker.reporting.reported import place_of, read_reported
from generalthinker.reporting.statistics import interval_of_mean, minimum_detectable, percent, wilson
from generalthinker.reporting.tables import Cell, Gaps, RowLines, TableRow

MISSING = Entry("", "")
TIED = "°"
DETECTABLE = "(80 % power, 5 % level, if one run alone answers 20 % of the questions correctly)"
CAPTION = (
    "The Markdown file adds 95 % intervals and reported values; "
    "the row files add counts, runs, engine, versions and commit."
)


def lines(settings: Settings, table: str, row: TableRow) -> list[dict[str, Any]]:
    """Return a line per cell of `row`: accuracy, interval and `std` in percent, counts, provenance, the paper's value.

    Raises IncompleteResultsError if grades that a cell needs are not there.
    """
    grades = GradeFiles(settings)
    reported = read_reported(settings)
    row_lines = []
    for cell in row.cells:
        place = place_of(table, row, cell)
        line = dict(zip(("table", "group", "row", "column"), place, strict=True))
        measured = measure(grades, cell)
        values = _values(cell, measured)
        values |= _reported(
            reported.get(place, ""), [tally.questions for tally in measured.tallies[: len(cell.benchmarks)]]
        )
        values["training_overlap"] = _overlap(settings, cell)
        values["other_code"] = SEPARATOR.join(other_code_of_cell(settings, cell))
        row_lines.append(line | values)
    return row_lines


def entries(row: TableRow, row_lines: RowLines) -> tuple[Entry, ...]:
    """Return the printed entry of every cell of `row` from the lines of its file; empty for a cell without a line."""
    by_key = {line["column"]: line for line in row_lines}
    return tuple(_entry(by_key[cell.key]) if cell.key in by_key else MISSING for cell in row.cells)


def mark(compared: dict[str, Entry], gaps: Gaps | None, baseline: str | None = None) -> dict[str, Entry]:
    """Mark accuracies by run: the highest is `best` if told apart from all others, else it and its likes are `tied`.

    `gaps` say which pairs of runs a test told apart; without them, or while an accuracy is missing, nothing is marked.
    With a baseline, `best` is whatever is higher than it, and `tied` whatever could not be told apart from it.
    """
    numbers = {run: entry.number for run, entry in compared.items() if entry.number is not None}
    if not gaps or len(numbers) < len(compared):
        return compared
    reference = baseline or max(numbers, key=numbers.__getitem__)
    apart = {run for run in numbers if (gap := gaps.get(frozenset((run, reference)))) and gap.differs}
    tied = set(numbers) - apart - {reference}
    if baseline:
        best = {run for run in apart if numbers[run] > numbers[baseline]}
    else:
        best = set() if tied else {reference}
        tied |= {reference} if tied else set()
    return {run: replace(entry, best=run in best, tied=run in tied) for run, entry in compared.items()}


def notes(contents: list[RowLines], among: str, baseline: str | None, marked: bool) -> tuple[str, ...]:
    """Return the sentences below a table: how to read it, the number of seeds, and what evaluated it.

    `among` names what is compared, a row or a column; `marked` says whether runs were compared at all.
    """
    cell_lines = [line for row_lines in contents for line in row_lines]
    if not cell_lines:
        return ()
    legend = f"{_marks(among, baseline)} " if marked else ""
    legend += "Small: 95 % interval over questions."
    if any(line["reported_percent"] for line in cell_lines):
        legend += " In parentheses: the paper's value."
    count = max(int(line["seeds"]) for line in cell_lines)
    seeds = "One training seed." if count == 1 else f"Mean over {count} training seeds; ± is their standard deviation."
    sentences = [legend, seeds]
    if evaluated_with := _evaluated_with(cell_lines):
        sentences.append(f"Evaluated with {evaluated_with}.")
    if overlaps := distinct(cell_lines, "training_overlap"):
        sentences.append(f"Training questions that occur in a benchmark: {', '.join(overlaps)}.")
    if others := distinct(cell_lines, "other_code"):
        sentences.append(f"NOT MADE BY THIS CODE: {'; '.join(others)}.")
    return tuple(sentences)


def _marks(among: str, baseline: str | None) -> str:
    test = "paired tests over questions, adjusted by Holm's method, 5 %"
    if baseline:
        return f"Bold: higher than {baseline}. {TIED}: not told apart from {baseline} ({test})."
    tied = f"{TIED}: the highest and those not told apart from it"
    return f"Bold: higher than every other run of the {among}. {tied} ({test})."


def distinct(cell_lines: RowLines, column: str) -> list[str]:
    """Return the distinct values in a column of several lines, in order; a cell may hold several values."""
    values = (value for line in cell_lines for value in line.get(column, "").split(SEPARATOR))
    return list(dict.fromkeys(value for value in values if value))


def _values(cell: Cell, measured: Measurement) -> dict[str, Any]:
    tallies = measured.tallies
    single = len(cell.benchmarks) == 1
    return {
        "accuracy_percent": percent(measured.accuracy),
        "ci_low": percent(measured.interval.low),
        "ci_high": percent(measured.interval.high),
        # An unweighted average over benchmarks is not a ratio of two counts.
        "correct": sum(tally.correct for tally in tallies) if single else "",
        "total": sum(tally.total for tally in tallies) if single else "",
        "responses": sum(tally.total for tally in tallies),
        "no_box": sum(tally.no_box for tally in tallies),
        "truncated": sum(tally.truncated for tally in tallies),
        "minimum_detectable": percent(minimum_detectable([tally.total for tally in tallies[: len(cell.benchmarks)]])),
        "seeds": measured.seeds,
        "std": "" if measured.deviation is None else percent(measured.deviation),
        "runs": SEPARATOR.join(run.name for run in cell.runs),
        **measured.provenance,
    }


def _reported(value: str, questions: list[int]) -> dict[str, str]:
    """Return the paper's value (percent) with the 95 % interval that it has if the paper asked as many `questions`.

    For an average over benchmarks, whose parts may not be printed, each benchmark is taken to have the average.
    """
    if not value:
        return dict.fromkeys(("reported_percent", "reported_ci_low", "reported_ci_high"), "")
    proportion = float(Decimal(value) / 100)
    intervals = [wilson(proportion, count) for count in questions]
    interval = interval_of_mean([proportion] * len(questions), intervals) if len(questions) > 1 else intervals[0]
    return {
        "reported_percent": value,
        "reported_ci_low": percent(interval.low),
        "reported_ci_high": percent(interval.high),
    }


def _overlap(settings: Settings, cell: Cell) -> str:
    """Return how many training questions occur in those benchmarks of a cell that the mixture was not compared with."""
    counted = []
    for name in cell.benchmarks:
        path = Path(Layout(settings.results).overlap(slug(name)))
        if name in settings.uncompared_benchmarks and path.exists():
            counted.append(f"{name} {read_json(path)['train']}")
    return SEPARATOR.join(counted)


def _entry(line: dict[str, str]) -> Entry:
    accuracy, reported = line["accuracy_percent"], line["reported_percent"]
    return Entry(
        value=accuracy,
        text=accuracy,
        number=Decimal(accuracy),
        interval=f"{Decimal(line['ci_low']):.1f}–{Decimal(line['ci_high']):.1f}",
        deviation=line["std"],
        reported=f"{Decimal(reported):.2f}" if reported else "",
    )


def _evaluated_with(cell_lines: RowLines) -> str:
    """Return engine, dtype, seed, device and commit of all cells in one phrase; different values are joined."""
    engine, version = (SEPARATOR.join(distinct(cell_lines, name)) for name in ("engine", "engine_version"))
    if not version:
        version = engine
    elif engine and engine not in version.split():
        version = f"{engine} {version}"
    named = {
        "tensor parallel": distinct(cell_lines, "tensor_parallel_size"),
        "evaluation seed": distinct(cell_lines, "eval_seed"),
        "on": distinct(cell_lines, "device"),
        "commit": [commit[:10] for commit in distinct(cell_lines, "commit")],
    }
    phrases = [f"{name} {SEPARATOR.join(values)}" for name, values in named.items() if values]
    return ", ".join(phrase for phrase in (version, SEPARATOR.join(distinct(cell_lines, "dtype")), *phrases) if phrase)
