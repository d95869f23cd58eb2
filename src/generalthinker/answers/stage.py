"""Grading a whole file of responses, without a GPU.

The threads share this process; what can take long or crash, math-verify, runs in a process per thread (verifier.py).
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
from generalthinker.records import Grade

logger = logging.getLogger(__name__)

COLUMNS = ["benchmark", "id", "correct", "extracted", "reason", "truncated", "tokens"]
PACKAGES = ("math-verify", "latex2sympy2-extended", "sympy")
SHOWN_IDS = 5

Row = dict[str, Any]


class GradingError(StageError, ValueError):
    """Responses and questions do not belong together; the message says which, where, and how to mend it."""


def grade_file(generations: Path, questions: list[Path], out: Path, workers: int) -> None:
    """Write one verdict per response in `generations` to `out`, in the same order.

    `questions` are the benchmarks' question files, `workers` the number of comparisons at a time. A response that the
    token limit ended is wrong; a comparison that hangs or crashes is wrong with that reason. Raises GradingError if a
    response has no question, a question no response (the benchmark's `limit` aside), or a response comes twice.
    """
    responses, metadata = read_parquet(generations)
    known = _questions(questions)
    _check_ids(responses, known, generations, metadata)
    rows = responses.to_dict("records")
    jobs = [(row, known[row["benchmark"]][row["id"]]) for row in rows]
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


def _verdict(job: tuple[Row, Row]) -> Grade:
    row, question = job
    if row["truncated"]:
        return Grade(False, None, "truncated")
    options = question["options"]
    try:
        return grade(row["response"], question["answer"], question["answer_type"], _listed(options))
    except Exception:
        # one odd answer must not cost the file: it is wrong, and the log says why
        logger.exception("%s %s: the grader failed", row["benchmark"], row["id"])
        return Grade(False, None, "grader_error")


def _listed(options: Any) -> list[str] | None:
    return list(options) if hasattr(options, "__len__") else None


def _questions(paths: list[Path]) -> dict[str, dict[str, Row]]:
    """Return benchmark → id → question, ids in the file's order."""
    known: dict[str, dict[str, Row]] = {}
    for path in paths:
        frame, metadata = read_parquet(path)
        if "benchmark" not in metadata:
            raise GradingError(f"{path}: does not say which benchmark it is; build it again (generalthinker benchmark)")
        rows: list[Row] = [
            {"id": id, "answer": answer, "answer_type": answer_type, "options": options}
            for id, answer, answer_type, options in frame[["id", "answer", "answer_type", "options"]].itertuples(
                index=False, name=None
            )
        ]
        known[metadata["benchmark"]] = {row["id"]: row for row in rows}
    return known


def _check_ids(
    responses: pd.DataFrame, known: dict[str, dict[str, Row]], generations: Path, metadata: dict[str, Any]
) -> None:
    limits = metadata.get("settings", {}).get("benchmarks", {})
    answered: dict[str, list[str]] = {name: [] for name in known}
    for benchmark, group in responses.groupby("benchmark", sort=False):
        if benchmark not in known:
            raise GradingError(
                f"{generations}: responses to {benchmark!r}, but the question files are of {list(known)}; "
                "give that benchmark's question file too"
            )
        answered[str(benchmark)] = group["id"].tolist()
    for benchmark, ids in answered.items():
        expected = list(known[benchmark])[: limits.get(benchmark)]
        times = Counter(ids)
        for what, wrong in (
            ("responses without a question", _sample(i for i in ids if i not in known[benchmark])),
            ("questions without a response", _sample(i for i in expected if i not in times)),
            (
                "questions with two responses",
                _sample(i for i, count in times.items() if count > 1),
            ),
        ):
            if wrong:
                raise GradingError(
                    f"{generations}: {benchmark}: {what}: {wrong}. The responses belong to other questions than these, "
                    f"or are incomplete: delete {generations} and generate it again"
                )


def _sample(ids: Iterable[str]) -> str:
    found = sorted(ids)
    return ", ".join(found[:SHOWN_IDS]) + (f" and {len(found) - SHOWN_IDS} more" if len(found) > SHOWN_IDS else "")
