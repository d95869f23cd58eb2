"""What a page of the response browser shows: which questions, and their verdicts and texts as compact columns."""

import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

from generalthinker.reporting.agreement import Comparison, agreement, possible_agreements
from generalthinker.reporting.graded import GradedBenchmark, Verdicts

CLIPPED = 100  # characters of a question in an index without texts
CLIPPED_ANSWER = 40  # of a reference answer and of an extracted answer
# Run → id → (response, its tokens).
Texts = dict[str, dict[str, tuple[str, int]]]


def page_data(
    benchmarks: list[GradedBenchmark],
    compared: list[Comparison],
    texts: Texts | None = None,
    sampled: dict[str, list[int]] | None = None,
) -> dict[str, Any]:
    """Return what the page's script reads, JSON-able: names are listed once, verdicts are places in these lists.

    A benchmark's `verdicts` are run → place in `kinds` per question, its `agreement` is comparison → place in that
    comparison's `kinds` per question. With `texts` (run → id → response) nothing is shortened. `sampled` are the places
    of the questions of each benchmark whose texts another page has.
    """
    runs = list(dict.fromkeys(run for benchmark in benchmarks for run in benchmark.verdicts))
    kinds: dict[tuple[str, bool], int] = {}  # (reason, right) → place
    described = []
    for benchmark in benchmarks:
        answer, question = (_whole, _whole) if texts is not None else (_clip_answer, _clip_question)
        verdicts = {
            runs.index(run): [
                kinds.setdefault(kind, len(kinds)) for kind in zip(given.reasons, given.correct, strict=True)
            ]
            for run, given in benchmark.verdicts.items()
        }
        extracted = {
            runs.index(run): [None if text is None else answer(text) for text in given.extracted]
            for run, given in benchmark.verdicts.items()
        }
        entry: dict[str, Any] = {
            "name": benchmark.name,
            "ids": benchmark.ids,
            "questions": [question(text) for text in benchmark.questions],
            "answers": [answer(text) for text in benchmark.answers],
            "verdicts": verdicts,
            "extracted": extracted,
            "agreement": {},
        }
        if texts is not None:
            given = {runs.index(run): [of_run[id] for id in benchmark.ids] for run, of_run in texts.items()}
            entry["texts"] = {run: [text for text, _ in responses] for run, responses in given.items()}
            entry["tokens"] = {run: [tokens for _, tokens in responses] for run, responses in given.items()}
        if sampled is not None:
            entry["sampled"] = sampled.get(benchmark.name, [])
        described.append(entry)
    listed: list[dict[str, Any]] = []
    for comparison in (one.among(runs) for one in compared):
        places = {words: place for place, words in enumerate(possible_agreements([*comparison.runs]))}
        for benchmark, entry in zip(benchmarks, described, strict=True):
            if words := agreements(benchmark, comparison):
                entry["agreement"][len(listed)] = [places.setdefault(one, len(places)) for one in words]
        if comparison.runs:
            of_labels = [runs.index(run) for run in comparison.runs.values()]
            title, labels = comparison.title, [*comparison.runs]
            listed.append({"title": title, "labels": labels, "runs": of_labels, "kinds": [*places]})
    return {
        "runs": runs,
        "kinds": [{"reason": reason, "right": bool(right)} for reason, right in kinds],
        "comparisons": listed,
        "benchmarks": described,
    }


def agreements(benchmark: GradedBenchmark, comparison: Comparison) -> list[str]:
    """Return, for every question of `benchmark`, which of the compared runs are right.

    Runs that are not graded on the benchmark are left out. The list is empty if none is.
    """
    runs = comparison.among(benchmark.verdicts).runs
    known: dict[tuple[bool, ...], str] = {}
    words = []
    for right in zip(*(benchmark.verdicts[run].correct for run in runs.values()), strict=True):
        if right not in known:
            known[right] = agreement([*runs], right)
        words.append(known[right])
    return words


def sample(benchmark: GradedBenchmark, compared: list[Comparison], count: int) -> list[int]:
    """Return the places of `count` questions, in order: examples of every reason of every run and every agreement.

    Reasons and agreements take one question each, the rarest first, again and again until there are `count`. The order
    within each is that of a hash of the question's id, so that it depends neither on the file's order nor on chance.
    """
    if count >= len(benchmark.ids):
        return list(range(len(benchmark.ids)))
    strata: dict[tuple[str, str], list[int]] = {}
    labels = [[("reason", f"{run} {reason}") for reason in of.reasons] for run, of in benchmark.verdicts.items()]
    for comparison in compared:
        if words := agreements(benchmark, comparison):
            labels.append([(comparison.title, one) for one in words])
    for place in sorted(range(len(benchmark.ids)), key=lambda place: _shuffled(benchmark.ids[place])):
        for of_question in labels:
            strata.setdefault(of_question[place], []).append(place)
    taken: set[int] = set()
    waiting = [iter(members) for members in sorted(strata.values(), key=len)]
    while len(taken) < count:
        for members in waiting:
            if len(taken) < count:
                taken.update(itertools.islice((place for place in members if place not in taken), 1))
    return sorted(taken)


def subset(benchmark: GradedBenchmark, places: Sequence[int]) -> GradedBenchmark:
    """Return `benchmark` with the questions at `places` only, in that order."""

    def pick(column: list[Any]) -> list[Any]:
        return [column[place] for place in places]

    verdicts = {
        run: Verdicts(pick(given.correct), pick(given.reasons), pick(given.extracted))
        for run, given in benchmark.verdicts.items()
    }
    ids, questions, answers = (pick(column) for column in (benchmark.ids, benchmark.questions, benchmark.answers))
    return GradedBenchmark(benchmark.name, ids, questions, answers, verdicts)


def _shuffled(id: str) -> bytes:
    return hashlib.sha256(id.encode()).digest()


def _clip(text: str, length: int) -> str:
    # Only the beginning is looked at: a text may have thousands of characters.
    line = " ".join(text[: 2 * length].split())
    return line if len(line) <= length and len(text) <= 2 * length else f"{line[: length - 1]}…"


def _clip_question(text: str) -> str:
    return _clip(text, CLIPPED)


def _clip_answer(text: str) -> str:
    return _clip(text, CLIPPED_ANSWER)


def _whole(text: str) -> str:
    return text
