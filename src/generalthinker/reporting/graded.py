"""The verdicts on every evaluated run's responses, question by question, aligned with the benchmark's questions."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generalthinker.config.settings import Settings
from generalthinker.files import read_columns
from generalthinker.paths import Layout
from generalthinker.records import sample_id, slug
from generalthinker.reporting.cells import all_evaluations
from generalthinker.reporting.measure import IncompleteResultsError

GRADE_COLUMNS = ["benchmark", "id", "correct", "reason", "extracted"]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts on one run's responses to one benchmark, one entry per question."""

    correct: list[bool]
    reasons: list[str]
    extracted: list[str | None]


@dataclass(frozen=True, slots=True)
class GradedBenchmark:
    """The evaluated questions of one benchmark, and run → its verdicts in the order of the questions."""

    name: str
    ids: list[str]
    questions: list[str]
    answers: list[str]
    verdicts: dict[str, Verdicts]


def missing_grades(settings: Settings) -> list[str]:
    """Return the paths of the grades that the experiment needs and that do not exist."""
    layout = Layout(settings.results)
    paths = [layout.grades(run.name, slug(suite)) for run, suite in all_evaluations(settings)]
    return [path for path in paths if not Path(path).exists()]


def graded_suite(settings: Settings, suite: str, also: str | None = None) -> Iterator[GradedBenchmark]:
    """Yield the benchmarks of `suite` with the verdicts of all runs that are graded on it.

    `also` is one more run, which no table or figure needs to show.
    Raises IncompleteResultsError if the questions are missing or if a run's grades belong to other questions.
    """
    layout = Layout(settings.results)
    names = settings.suite_benchmarks(suite)
    runs = [run.name for run, of_run in all_evaluations(settings) if of_run == suite]
    paths = {run: layout.grades(run, slug(suite)) for run in [*runs, *([also] if also else [])]}
    # Run → benchmark → id → (correct, reason, extracted).
    grades = {run: _by_benchmark(path) for run, path in paths.items() if Path(path).exists()}
    for name in names if grades else []:
        questions = _questions(settings, name)
        ids = questions["id"]
        verdicts = {}
        for run, by_benchmark in grades.items():
            of_question = by_benchmark.get(name, {})
            if set(of_question) != set(ids):
                raise IncompleteResultsError(
                    f"{paths[run]}: {name}: {len(of_question)} questions are graded, expected the {len(ids)} of "
                    f"{layout.benchmark(slug(name))}, with the same ids; run `snakemake {paths[run]}` again"
                )
            rows = [of_question[id] for id in ids]
            verdicts[run] = Verdicts([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
        yield GradedBenchmark(name, ids, questions["question"], questions["answer"], verdicts)


def texts_of_suite(
    settings: Settings, run: str, suite: str, wanted: dict[str, list[str]]
) -> dict[str, dict[str, tuple[str, int]]]:
    """Return benchmark → id → (response, its tokens) for the `wanted` ids of each benchmark.

    Raises IncompleteResultsError if the responses do not exist.
    """
    path = Layout(settings.results).generations(run, slug(suite))
    if not Path(path).exists():
        raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
    columns, _ = read_columns(path, ["benchmark", "id", "response", "tokens"])
    sets = {name: set(ids) for name, ids in wanted.items()}
    texts: dict[str, dict[str, tuple[str, int]]] = {name: {} for name in wanted}
    for benchmark, id, response, tokens in zip(*columns.values(), strict=True):
        if id in sets.get(benchmark, ()):
            texts[benchmark][id] = (response, int(tokens))
    for name, ids in sets.items():
        if lost := sorted(ids - set(texts[name])):
            raise IncompleteResultsError(
                f"{path}: {name}: the responses to {len(lost)} graded questions are missing, {lost[0]} for example; "
                f"run `snakemake {path}` again"
            )
    return texts


def _by_benchmark(path: str) -> dict[str, dict[str, tuple[bool, str, str | None]]]:
    columns, _ = read_columns(path, GRADE_COLUMNS)
    grades: dict[str, dict[str, tuple[bool, str, str | None]]] = {}
    for benchmark, id, *verdict in zip(*(columns[name] for name in GRADE_COLUMNS), strict=True):
        # There are few reasons: one object per reason instead of one per response.
        grades.setdefault(benchmark, {})[id] = (verdict[0], sys.intern(verdict[1]), verdict[2])
    return grades


def _questions(settings: Settings, benchmark: str) -> dict[str, list[Any]]:
    """Return id, question and answer as columns, one line per response that each run gives."""
    path = Layout(settings.results).benchmark(slug(benchmark))
    if not Path(path).exists():
        raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
    columns, _ = read_columns(path, ["id", "question", "answer"])
    limit, samples = settings.benchmarks[benchmark].limit, settings.benchmarks[benchmark].samples
    asked = {name: values[:limit] for name, values in columns.items()}
    if samples is None:
        return asked
    asked["id"] = [sample_id(id, number) for id in asked["id"] for number in range(1, samples + 1)]
    for name in ("question", "answer"):
        asked[name] = [value for value in asked[name] for _ in range(samples)]
    return asked
