"""Logs for Inspect (inspect_ai), whose viewer shows one response with its scores: one log per run and benchmark.

inspect_ai has an environment of its own (`make inspect`). It writes logs in a time that grows with the square of their
samples, so that a log holds examples, enough for its viewer; accuracies are those of all questions.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.files import replacing
from generalthinker.paths import Layout
from generalthinker.records import slug
from generalthinker.reporting.agreement import Comparison, comparisons
from generalthinker.reporting.graded import GradedBenchmark, graded_suite, texts_of_suite
from generalthinker.reporting.response_data import agreements, sample, subset

SAMPLES = 300  # in one log


class MissingInspectError(StageError, ImportError):
    """inspect_ai is not installed in the environment that runs the command."""


def write_inspect_logs(settings: Settings, folder: Path) -> int:
    """Write one log per graded run and benchmark to `folder`, instead of what was there; return their number.

    A sample has the question, the response, the reference answer, and the scores `verdict` (C or I), `reason` and
    `agreement`, the latter in the words of `agreement.agreement` for the first comparison with the run. The answers of
    all runs to the question are in its metadata. Raises MissingInspectError.
    """
    try:
        from inspect_ai.log import write_eval_log
    except ImportError:
        raise MissingInspectError(
            "inspect_ai is not installed in this environment: it has one of its own; run `make inspect`, then "
            "`.venv-inspect/bin/generalthinker inspect-logs`"
        ) from None
    compared = comparisons(settings)
    number = 0
    with replacing(folder) as temporary:
        temporary.mkdir()
        for suite in settings.evaluation.suites:
            for benchmark in graded_suite(settings, suite):
                shown = subset(benchmark, sample(benchmark, compared, SAMPLES))
                for run in shown.verdicts:
                    texts = texts_of_suite(settings, run, suite, {shown.name: shown.ids})[shown.name]
                    created = Path(Layout(settings.results).grades(run, slug(suite))).stat().st_mtime
                    log = _log(run, benchmark, shown, texts, compared, datetime.fromtimestamp(created, UTC).isoformat())
                    write_eval_log(log, str(temporary / f"{slug(benchmark.name)}_{slug(run)}.eval"))
                    number += 1
    return number


def _log(
    run: str,
    benchmark: GradedBenchmark,
    shown: GradedBenchmark,
    texts: dict[str, tuple[str, int]],
    compared: list[Comparison],
    created: str,
) -> Any:
    """Return the log of one run on one benchmark: samples of the `shown` questions, the accuracy of all of them."""
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalMetric, EvalResults, EvalScore, EvalSpec, EvalStats

    correct = benchmark.verdicts[run].correct
    accuracy = EvalMetric(name="accuracy", value=sum(correct) / len(correct))
    identity = f"{slug(benchmark.name)}_{slug(run)}"
    return EvalLog(
        status="success",
        eval=EvalSpec(
            created=created,
            eval_id=identity,
            run_id=slug(run),
            task_id=identity,
            task=benchmark.name,
            model=run,
            dataset=EvalDataset(name=benchmark.name, samples=len(correct), sample_ids=list(shown.ids)),
            config=EvalConfig(),
            metadata={"samples": f"{len(shown.ids)} examples of {len(correct)} questions"},
        ),
        results=EvalResults(
            total_samples=len(correct),
            completed_samples=len(correct),
            scores=[EvalScore(name="verdict", scorer="verdict", metrics={"accuracy": accuracy})],
        ),
        stats=EvalStats(started_at=created, completed_at=created),
        samples=list(_samples(run, shown, texts, compared)),
    )


def _samples(
    run: str, shown: GradedBenchmark, texts: dict[str, tuple[str, int]], compared: list[Comparison]
) -> Iterator[Any]:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatMessageUser, ModelOutput, ModelUsage
    from inspect_ai.scorer import Score

    given = shown.verdicts[run]
    comparison = next(one for one in compared if run in one.runs.values())
    words = agreements(shown, comparison)
    for place, id in enumerate(shown.ids):
        text, tokens = texts[id]
        output = ModelOutput.from_content(run, text)
        output.usage = ModelUsage(output_tokens=tokens, total_tokens=tokens)
        answers = {
            other: f"{'right' if of.correct[place] else 'wrong'}, {of.reasons[place]}: {of.extracted[place]}"
            for other, of in shown.verdicts.items()
        }
        # Text, because the viewer shows true and false as pass and fail; a missing answer is no number.
        verdict = Score(
            value="C" if given.correct[place] else "I",
            answer=given.extracted[place],
            explanation=given.reasons[place],
        )
        yield EvalSample(
            id=id,
            epoch=1,
            input=shown.questions[place],
            target=shown.answers[place],
            messages=[ChatMessageUser(content=shown.questions[place]), output.message],
            output=output,
            scores={
                "verdict": verdict,
                "reason": Score(value=given.reasons[place]),
                "agreement": Score(value=words[place]),
            },
            metadata={"compared": comparison.title, "answers": answers},
            model_usage={run: output.usage},
        )
