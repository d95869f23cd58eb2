"""One cell's accuracy, computed from grades that are checked against the questions of their benchmarks."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.files import read_columns, read_json
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, question_id, sample_id, slug
from generalthinker.reporting.statistics import Interval, interval_of_mean, sample_deviation, wilson
from generalthinker.reporting.tables import Cell

COLUMNS = ["benchmark", "id", "correct", "reason", "truncated"]
NO_BOX_REASONS = ("no_box", "unbalanced_box")
SEPARATOR = "; "


class IncompleteResultsError(StageError, ValueError):
    """A result file is missing or incomplete; the message names the file and the command to run."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Verdicts on one run's responses to one benchmark, as counts of responses, and the number of questions."""

    correct: int
    total: int
    questions: int
    no_box: int
    truncated: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One cell: `accuracy`, `interval` and `deviation` (over seeds) are proportions, the rest are counts.

    The interval expresses the sampling of questions only, for any number of seeds; `deviation` expresses the seeds.
    """

    accuracy: Fraction
    interval: Interval
    deviation: float | None
    seeds: int
    tallies: tuple[Tally, ...]
    provenance: dict[str, str]


class GradeFiles:
    """The grades below `results`, each file read once and each benchmark checked against its manifest."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.layout = Layout(settings.results)
        # Path of the grades → benchmark → its verdicts as dictionaries of COLUMNS; and how they were generated.
        self._read: dict[str, tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]] = {}
        self._expected: dict[str, tuple[int, set[str] | None]] = {}

    def tally(self, run: RunSpec, benchmark: str) -> tuple[Tally, dict[str, Any]]:
        """Return the counts of `run` on `benchmark` and how its responses were generated.

        Raises IncompleteResultsError if the file, the benchmark or a question is missing, and for questions that are
        graded twice or unknown.
        """
        grades, generation = self._grades(run, benchmark)
        tally = Tally(
            correct=sum(grade["correct"] for grade in grades),
            total=len(grades),
            questions=len({question_id(str(grade["id"])) for grade in grades}),
            no_box=sum(grade["reason"] in NO_BOX_REASONS for grade in grades),
            truncated=sum(grade["truncated"] for grade in grades),
        )
        return tally, generation

    def shares(self, run: RunSpec, benchmark: str) -> dict[str, float]:
        """Return the share of `run`'s responses to each question of `benchmark` that are correct, by the question's id.

        It is 0 or 1 where a question has one response. Raises what `tally` raises.
        """
        grades, _ = self._grades(run, benchmark)
        correct: dict[str, list[bool]] = {}
        for grade in grades:
            correct.setdefault(question_id(str(grade["id"])), []).append(grade["correct"])
        return {id: sum(of_question) / len(of_question) for id, of_question in correct.items()}

    def _grades(self, run: RunSpec, benchmark: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        path = self.layout.grades(run.name, slug(self.settings.suite_of(benchmark)))
        if path not in self._read:
            if not Path(path).exists():
                raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
            self._read[path] = _read_grades(path)
        verdicts, generation = self._read[path]
        grades = verdicts.get(benchmark, [])
        self._check(path, benchmark, [str(grade["id"]) for grade in grades])
        return grades, generation

    def _check(self, path: str, benchmark: str, ids: list[str]) -> None:
        if not ids:
            raise IncompleteResultsError(
                f"{path}: benchmark {benchmark!r} is missing; delete the file and run `snakemake {path}` again"
            )
        if benchmark not in self._expected:
            self._expected[benchmark] = self._questions(benchmark)
        count, expected = self._expected[benchmark]
        problems = []
        if double := sorted(id for id, times in Counter(ids).items() if times > 1):
            problems.append(f"{_some(double)} graded more than once")
        if len(ids) != count:
            problems.append(f"expected {count} responses, found {len(ids)}")
        if expected is not None and (missing := sorted(expected - set(ids))):
            problems.append(f"{_some(missing)} not graded")
        if expected is not None and (unknown := sorted(set(ids) - expected)):
            problems.append(f"{_some(unknown)} not in the benchmark")
        if problems:
            manifest = self.layout.benchmark_manifest(slug(benchmark))
            raise IncompleteResultsError(
                f"{path}: benchmark {benchmark!r}: {'; '.join(problems)} (the benchmark is described in {manifest}); "
                "generate and grade it again"
            )

    def _questions(self, benchmark: str) -> tuple[int, set[str] | None]:
        """Return how many responses are evaluated, and their ids if the file with the questions exists."""
        limit, samples = self.settings.benchmarks[benchmark].limit, self.settings.benchmarks[benchmark].samples
        count = int(read_manifest(self.settings, benchmark)["rows_written"])
        questions = Path(self.layout.benchmark(slug(benchmark)))
        ids = None
        if questions.exists():
            columns, _ = read_columns(questions, ["id"])
            ids = set(map(str, columns["id"][:limit]))
            if samples:
                ids = {sample_id(id, number) for id in ids for number in range(1, samples + 1)}
        return min(count, limit or count) * (samples or 1), ids


def _read_grades(path: str) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Return benchmark → its verdicts as dictionaries of COLUMNS, and how the responses were generated."""
    columns, metadata = read_columns(path, COLUMNS)
    verdicts: dict[str, list[dict[str, Any]]] = {}
    for values in zip(*(columns[name] for name in COLUMNS), strict=True):
        verdict = dict(zip(COLUMNS, values, strict=True))
        verdicts.setdefault(verdict["benchmark"], []).append(verdict)
    return verdicts, metadata.get("generation") or {}


def read_manifest(settings: Settings, benchmark: str) -> dict[str, Any]:
    """Return the manifest of `benchmark`; raises IncompleteResultsError if it was not written yet."""
    path = Layout(settings.results).benchmark_manifest(slug(benchmark))
    if not Path(path).exists():
        raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
    return read_json(path)


def measure(grades: GradeFiles, cell: Cell) -> Measurement:
    """Return the cell's accuracy: the mean over seeds of the unweighted mean over benchmarks (Tables 1, 2, 4, 5, 6)."""
    results = {run: [grades.tally(run, benchmark) for benchmark in cell.benchmarks] for run in cell.runs}
    accuracies = {run: [Fraction(t.correct, t.total) for t, _ in tallies] for run, tallies in results.items()}
    per_run = [_mean(values) for values in accuracies.values()]
    per_benchmark = [_mean(values) for values in zip(*accuracies.values(), strict=True)]
    # Several responses to one question tell no more about other questions than one does.
    questions = [tally.questions for tally, _ in results[cell.runs[0]]]
    intervals = [wilson(float(p), total) for p, total in zip(per_benchmark, questions, strict=True)]
    interval = intervals[0] if len(intervals) == 1 else interval_of_mean([float(p) for p in per_benchmark], intervals)
    flat = [result for of_run in results.values() for result in of_run]
    return Measurement(
        accuracy=_mean(per_run),
        interval=interval,
        deviation=sample_deviation(per_run),
        seeds=len(cell.runs),
        tallies=tuple(tally for tally, _ in flat),
        provenance=provenance([generation for _, generation in flat]),
    )


def provenance(generations: list[dict[str, Any]]) -> dict[str, str]:
    """Return engine, version, dtype, tensor-parallel size, seed, device and commit; different values are joined."""
    columns = {"eval_seed": "seed"}
    names = ("engine", "engine_version", "dtype", "tensor_parallel_size", "eval_seed", "device", "commit")
    return {
        name: join_distinct(generation.get(columns.get(name, name)) for generation in generations) for name in names
    }


def join_distinct(values: Iterable[Any]) -> str:
    """Return the distinct values as one text, in order of appearance; lists are flattened and None is left out."""
    flat = (member for value in values for member in (value if isinstance(value, list) else [value]))
    return SEPARATOR.join(dict.fromkeys(str(member) for member in flat if member is not None))


def _mean(values: Iterable[Fraction]) -> Fraction:
    fractions = list(values)
    return sum(fractions, Fraction()) / len(fractions)


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
