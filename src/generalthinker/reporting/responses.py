"""The response browser: an index of all verdicts, and pages with the texts of responses.

The index has every verdict of every run, without the responses' texts. Texts are on a page per benchmark, for some
questions and all runs, and on pages that are written on request, for the responses of one run. All of these are the
same page with other data; each opens without a server and loads no other file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from generalthinker.config.load import freeze
from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.files import replacing, write_text
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug
from generalthinker.reporting.agreement import Comparison, comparisons
from generalthinker.reporting.graded import GradedBenchmark, graded_suite, missing_grades, texts_of_suite
from generalthinker.reporting.measure import IncompleteResultsError
from generalthinker.reporting.pages import packed, render
from generalthinker.reporting.response_data import agreements, page_data, sample, subset

# So many verdicts make an index of some 9 MB, which opens in about a second; the paper's experiment has 865,000.
VERDICTS_IN_INDEX = 1_000_000
# So many responses of 2,000 characters make a page of some 3 MB.
RESPONSES_PER_PAGE = 3000
FEWEST_QUESTIONS = 10  # of a benchmark on a page, however many runs there are
Verdict = Literal["right", "wrong"]


class NoResponseError(StageError, ValueError):
    """No response is as the command asks for; the message says which there are."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Responses of one run to one benchmark; an empty field selects all of them.

    `agreement` is in the words of `agreement.agreement`, for the comparison of the table `compare`, or else the first
    comparison with the run. `others` adds the texts of the other runs' responses.
    """

    run: RunSpec
    benchmark: str
    verdict: Verdict | None = None
    reasons: Sequence[str] = ()
    agreement: str = ""
    compare: str = ""
    ids: Sequence[str] = ()
    others: bool = False


def write_responses(settings: Settings) -> list[Path]:
    """Write the index of all verdicts that exist, and per benchmark a page with the texts of some questions.

    Return the written paths, the index first. The same results give the same bytes. Raises IncompleteResultsError if
    grades belong to other questions or have no responses.
    """
    layout, compared = Layout(settings.results), comparisons(settings)
    benchmarks: dict[str, GradedBenchmark] = {}
    sampled: dict[str, list[int]] = {}
    for suite in settings.evaluation.suites:
        for benchmark in graded_suite(settings, suite):
            benchmarks[benchmark.name] = benchmark
            sampled[benchmark.name] = sample(benchmark, compared, _questions_per_page(len(benchmark.verdicts)))
        of_suite = [name for name in settings.suite_benchmarks(suite) if name in benchmarks]
        shown = {name: subset(benchmarks[name], sampled[name]) for name in of_suite}
        wanted = {name: shown[name].ids for name in of_suite}
        runs = dict.fromkeys(run for name in of_suite for run in shown[name].verdicts)
        found = {run: texts_of_suite(settings, run, suite, wanted) for run in runs}
        for name in of_suite:
            data = page_data([shown[name]], compared, texts={run: found[run][name] for run in runs})
            note = _note_of_sample(len(shown[name].ids), len(benchmarks[name].ids), name)
            _write(settings, Path(layout.response_texts(slug(name))), f"Responses to {name}", data, [note], depth=1)
    ordered = [benchmarks[name] for name in settings.benchmarks if name in benchmarks]
    _write_index(settings, ordered, compared, sampled)
    return [Path(layout.responses), *(Path(layout.response_texts(slug(name))) for name in benchmarks)]


def _write_index(
    settings: Settings, benchmarks: list[GradedBenchmark], compared: list[Comparison], sampled: dict[str, list[int]]
) -> None:
    """Write the index; `sampled` is benchmark → the places of the questions whose texts another page has."""
    verdicts = sum(len(benchmark.ids) * len(benchmark.verdicts) for benchmark in benchmarks)
    share = min(1.0, VERDICTS_IN_INDEX / max(1, verdicts))
    indexed, with_texts = [], {}
    for benchmark in benchmarks:
        places = sample(benchmark, compared, max(FEWEST_QUESTIONS, int(share * len(benchmark.ids))))
        indexed.append(subset(benchmark, places))
        chosen = set(sampled[benchmark.name])
        with_texts[benchmark.name] = [number for number, place in enumerate(places) if place in chosen]
    data = page_data(indexed, compared, sampled=with_texts)
    data["slugs"] = {benchmark.name: slug(benchmark.name) for benchmark in benchmarks}
    data["settings"] = str(freeze(settings))
    notes = _notes_of_index(settings, benchmarks, indexed, with_texts)
    _write(settings, Path(Layout(settings.results).responses), "Responses", data, notes, depth=0)


def write_selection(settings: Settings, selection: Selection) -> list[Path]:
    """Write pages with the texts of the selected responses, and return their paths.

    The pages of an earlier selection of the same run and benchmark are removed. Raises NoResponseError if nothing is
    selected, and IncompleteResultsError if grades or responses are missing.
    """
    run, name = selection.run.name, selection.benchmark
    suite, layout = settings.suite_of(name), Layout(settings.results)
    path = layout.grades(run, slug(suite))
    if not Path(path).exists():
        raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
    [benchmark] = [graded for graded in graded_suite(settings, suite, also=run) if graded.name == name]
    compared = comparisons(settings)
    if not any(run in one.runs.values() for one in compared):
        compared.append(Comparison(run, (), {run: run}))
    chosen = subset(benchmark, select(benchmark, compared, selection))
    runs = list(benchmark.verdicts) if selection.others else [run]
    texts = {one: texts_of_suite(settings, one, suite, {name: chosen.ids})[name] for one in runs}
    size = _questions_per_page(len(runs))
    starts = range(0, len(chosen.ids), size)
    folder = Path(layout.selected_responses(run, slug(name)))
    files = [f"page-{number}.html" for number in range(1, len(starts) + 1)]
    with replacing(folder) as temporary:
        temporary.mkdir()
        for start, file in zip(starts, files, strict=True):
            shown = subset(chosen, range(start, min(start + size, len(chosen.ids))))
            data = page_data([shown], compared, texts={one: {id: texts[one][id] for id in shown.ids} for one in runs})
            data["focus"] = data["runs"].index(run)
            notes = [_note_of_selection(selection, len(chosen.ids), len(benchmark.ids))]
            _write(settings, temporary / file, f"Responses of {run} to {name}", data, notes, 4, files)
    return [folder / file for file in files]


def select(benchmark: GradedBenchmark, compared: list[Comparison], selection: Selection) -> list[int]:
    """Return the places of the selected questions, in order. Raises NoResponseError that says which there are."""
    given = benchmark.verdicts[selection.run.name]
    places = list(range(len(benchmark.ids)))
    asked: list[tuple[str, Sequence[str], list[str]]] = [
        ("--id", selection.ids, benchmark.ids),
        ("--verdict", [selection.verdict] if selection.verdict else [], _verdicts(given.correct)),
        ("--reason", selection.reasons, given.reasons),
    ]
    if selection.agreement:
        words = agreements(benchmark, _comparison(compared, selection))
        asked.append(("--agreement", [selection.agreement], words))
    for option, wanted, values in asked:
        if not wanted:
            continue
        left = [place for place in places if values[place] in wanted]
        if not left:
            there = sorted({values[place] for place in places})
            shown = ", ".join(there[:10]) + (f" and {len(there) - 10} more" if len(there) > 10 else "")
            raise NoResponseError(
                f"{option} {', '.join(wanted)}: none of {len(places)} responses of {selection.run.name} to "
                f"{benchmark.name}; there are: {shown}"
            )
        places = left
    return places


def _comparison(compared: list[Comparison], selection: Selection) -> Comparison:
    run, table = selection.run.name, selection.compare
    with_run = [one for one in compared if run in one.runs.values()]
    chosen = [one for one in with_run if not table or table in one.tables]
    if not chosen:
        tables = [name for one in with_run for name in one.tables]
        raise NoResponseError(
            f"--compare {table}: it does not show {run}; tables that do: {', '.join(tables) or 'none'}"
        )
    return chosen[0]


def _verdicts(correct: list[bool]) -> list[str]:
    return ["right" if one else "wrong" for one in correct]


def _questions_per_page(runs: int) -> int:
    return max(FEWEST_QUESTIONS, RESPONSES_PER_PAGE // max(1, runs))


def _write(
    settings: Settings,
    out: Path,
    title: str,
    data: dict[str, Any],
    notes: list[str],
    depth: int,
    files: Sequence[str] = (),
) -> None:
    """Write one page; `depth` counts the folders between it and the results, `files` are the pages it belongs to."""
    page = render(
        "responses.html.j2",
        experiment=settings.name,
        title=title,
        notes=notes,
        files=list(files),
        current=out.name,
        root="../" * depth,
        data=packed(data),
    )
    write_text(out, page)


def _notes_of_index(
    settings: Settings, all_of_them: list[GradedBenchmark], indexed: list[GradedBenchmark], texts: dict[str, list[int]]
) -> list[str]:
    questions, shown = (sum(len(benchmark.ids) for benchmark in some) for some in (all_of_them, indexed))
    verdicts = sum(len(benchmark.ids) * len(benchmark.verdicts) for benchmark in indexed)
    with_texts = sum(len(places) for places in texts.values())
    some = "" if shown == questions else f" of {questions:,}, examples of every reason of every run and every agreement"
    notes = [f"{verdicts:,} verdicts on {shown:,} questions{some}; without the texts of the responses."]
    if with_texts == questions:
        notes.append("The texts are one click away, on a question's page.")
    else:
        notes.append(
            f"The texts of all runs' responses to {with_texts:,} of these questions are one click away: examples of "
            "every reason of every run and of every agreement. For the others, a question's page here shows the "
            "command that writes its texts; generalthinker responses RUN BENCHMARK writes those of a whole benchmark."
        )
    if missing := missing_grades(settings):
        first = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        notes.append(f"NOT GRADED YET, and left out of every comparison: {first}.")
    return notes


def _note_of_sample(shown: int, questions: int, name: str) -> str:
    if shown == questions:
        return f"All runs' responses to all {questions:,} questions."
    return (
        f"All runs' responses to {shown:,} of {questions:,} questions: examples of every reason of every run and of "
        f"every agreement. The others: generalthinker responses RUN {name}."
    )


def _note_of_selection(selection: Selection, shown: int, questions: int) -> str:
    of = "all runs" if selection.others else selection.run.name
    asked = [
        f"verdict {selection.verdict}" if selection.verdict else "",
        f"reason {' or '.join(selection.reasons)}" if selection.reasons else "",
        f"agreement “{selection.agreement}”" if selection.agreement else "",
        "the given ids" if selection.ids else "",
    ]
    chosen = ", ".join(part for part in asked if part)
    return f"Texts of {of}: {shown:,} of {questions:,} questions{f' ({chosen})' if chosen else ''}."
