"""Read and write question files (Parquet), and compute a digest of questions that is the same on every machine."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from generalthinker.answers import COMPARISONS
from generalthinker.data import DataError
from generalthinker.files import read_parquet, write_parquet
from generalthinker.records import Question

COLUMNS = [field.name for field in fields(Question)]


def write_questions(
    path: str | Path,
    questions: Iterable[Question],
    metadata: dict[str, Any],
    prompt_tokens: Sequence[int] | None = None,
) -> None:
    """Write `questions` to `path` as Parquet, by rename; `metadata` goes into the file.

    `prompt_tokens` are the lengths of the questions' prompts, in the same order; they become one more column.
    Raises DataError if a question has an answer type that cannot be graded.
    """
    frame = pd.DataFrame([asdict(question) for question in questions], columns=COLUMNS)
    if unknown := sorted(set(map(str, frame["answer_type"])) - set(COMPARISONS)):
        raise DataError(
            f"{path}: answer types {unknown} cannot be graded; expected {list(COMPARISONS)}. Correct the adapter of "
            "the dataset or add a comparison to answers/__init__.py"
        )
    write_parquet(path, frame if prompt_tokens is None else frame.assign(prompt_tokens=prompt_tokens), metadata)


def read_questions(path: str | Path) -> tuple[list[Question], dict[str, Any]]:
    """Return the questions and the metadata in `path`. Raises DataError if it is not a question file."""
    frame, metadata = read_parquet(path)
    if missing := [column for column in COLUMNS if column not in frame]:
        raise DataError(
            f"{path}: it is not a question file: the columns {missing} are missing, found {list(frame)}; delete it and "
            "build it again with `generalthinker benchmark` or `generalthinker mixture`"
        )
    rows = frame[COLUMNS].itertuples(index=False, name=None)
    return [Question(*map(_plain, row)) for row in rows], metadata


def digest(questions: Iterable[Question]) -> str:
    """Return the SHA-256 of the questions in order: one line of key-ordered JSON each, in UTF-8."""
    sha = hashlib.sha256()
    for question in questions:
        sha.update(json.dumps(asdict(question), sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        sha.update(b"\n")
    return sha.hexdigest()


def _plain(value: Any) -> Any:
    # Pandas reads a missing text as NaN and a list as an array
    if isinstance(value, str):
        return value
    return [str(item) for item in value] if hasattr(value, "__len__") else None
