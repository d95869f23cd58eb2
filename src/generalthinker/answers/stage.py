"""Grading a whole file of responses, without a GPU.

The responses are graded in threads. math-verify, which can take long or crash, runs in one process per thread (see
verifier.py).
"""

import logging
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from generalthinker.answers import grade, verifier
from generalthinker.errors import StageError
from generalthinker.files import read_parquet, write_parquet
from generalthinker.records import Grade, question_id, sample_id

logger = logging.getLogger(__name__)

COLUMNS = ["benchmark", "id", "correct", "extracted", "reason", "truncated", "tokens"]
PACKAGES = ("math-verify", "latex2sympy2-extended", "sympy")
SHOWN_IDS = 5

# The columns of a question that a verdict depends on: id, answer, answer_type and options.
QuestionRow = dict[str, Any]


class GradingError(StageError, ValueError):
    """Responses and questions do not belong together; the message says which, where, and what to do."""


def grade_file(generations: Path, questions: list[Path], out: Path, workers: int) -> None:
    """Write one verdict per response in `generations` to `out`, in the same order.

    `questions` are the benchmarks' question files, and `workers` is the number of responses graded at the same time. A
    response that was cut off by the token limit is wrong; so is one whose comparison hangs or crashes. Raises
    GradingError if a response has no question, if a question within the benchmark's `limit` has no response, or if a
    question has two responses.
    """
    responses, metadata = read_parquet(generations)
    known = _questions(questions)
    _check_ids(responses, known, generations, metadata)
    rows = responses.to_dict("records")
    jobs = [(row, known[row["benchmark"]][question_id(row["id"])]) for row in rows]
    with ThreadPoolExecutor(max(1, workers)) as executor:
        progress = tqdm(executor.map(_verdict, jobs), total=len(jobs), desc="grading", unit="response", mininterval=2)
        verdicts = list(progress)
    frame = responses[["benchmark", "id"]].assign(
        correct=[verdict.correct for verdict in verdicts],
        extracted=pd.array([verdict.extracted for verdict in verdicts], dtype="string"),
        reason=[verdict.reason for verdict in verdicts],
        truncated=responses["truncated"].astype(bool),
        tokens=responses["tokens"],
    )
    grading = {package: version(package) for package in PACKAGES} | {"time_limit_s": verifier.TIME_LIMIT}
    write_parquet(out, frame[COLUMNS], {**metadata, "grading": grading})
    logger.info("%s: %d responses, %d correct", out, len(frame), frame["correct"].sum())


def _verdict(job: tuple[dict[str, Any], QuestionRow]) -> Grade:
    response, question = job
    if response["truncated"]:
        return Grade(False, None, "truncated")
    try:
        return grade(response["response"], question["answer"], question["answer_type"], _listed(question["options"]))
    except Exception:
        # One response must not stop the grading of the whole file: it is wrong, and the log has the error.
        logger.exception("%s %s: grading failed with an error", response["benchmark"], response["id"])
        return Grade(False, None, "grader_error")


def _listed(options: Any) -> list[str] | None:
    """Return a Parquet cell as a list; a missing value is None or NaN, which have no length."""
    return list(options) if hasattr(options, "__len__") else None


def _questions(paths: list[Path]) -> dict[str, dict[str, QuestionRow]]:
    """Return benchmark → id → question; the ids have the file's order."""
    known: dict[str, dict[str, QuestionRow]] = {}
    for path in paths:
        frame, metadata = read_parquet(path)
        if "benchmark" not in metadata:
            raise GradingError(
                f"{path}: its metadata does not say which benchmark it is; build it again (generalthinker benchmark)"
            )
        rows: list[QuestionRow] = [
            {"id": id, "answer": answer, "answer_type": answer_type, "options": options}
            for id, answer, answer_type, options in frame[["id", "answer", "answer_type", "options"]].itertuples(
                index=False, name=None
            )
        ]
        known[metadata["benchmark"]] = {row["id"]: row for row in rows}
    return known


def _check_ids(
    responses: pd.DataFrame, known: dict[str, dict[str, QuestionRow]], generations: Path, metadata: dict[str, Any]
) -> None:
    """Raise GradingError unless every response has a question and every question within its limit has one response."""
    limits = metadata.get("settings", {}).get("benchmarks", {})
    samples = metadata.get("settings", {}).get("samples", {})
    answered: dict[str, list[str]] = {name: [] for name in known}
    for benchmark, group in responses.groupby("benchmark", sort=False):
        if benchmark not in known:
            raise GradingError(
                f"{generations}: has responses to {benchmark!r}, but the given question files belong to {list(known)}; "
                "give that benchmark's question file too"
            )
        answered[str(benchmark)] = group["id"].tolist()
    for benchmark, ids in answered.items():
        expected = list(known[benchmark])[: limits.get(benchmark)]
        if count := samples.get(benchmark):
            expected = [sample_id(id, number) for id in expected for number in range(1, count + 1)]
        times = Counter(ids)
        for what, wrong in (
            ("responses without a question", _sample(i for i in ids if question_id(i) not in known[benchmark])),
            ("questions without a response", _sample(i for i in expected if i not in times)),
            ("questions with two responses", _sample(i for i, count in times.items() if count > 1)),
        ):
            if wrong:
                raise GradingError(
                    f"{generations}: {benchmark}: {what}: {wrong}. The responses belong to other questions or are "
                    f"incomplete: delete {generations} and generate it again"
                )


def _sample(ids: Iterable[str]) -> str:
    ordered = sorted(ids)
    more = len(ordered) - SHOWN_IDS
    return ", ".join(ordered[:SHOWN_IDS]) + (f" and {more} more" if more > 0 else "")
