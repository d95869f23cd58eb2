r"""Responses whose wrong step is marked: generated ones of the synthetic tasks, or real ones that a person has marked.

The command `signals` reads them and computes what the token-level credit makes of the wrong step. A file of real
responses has one JSON object per line, with the keys of `MarkedResponse`.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, ValidationError

from generalthinker.answers import COMPARISONS, last_box
from generalthinker.config.reporting import CreditSettings
from generalthinker.config.settings import Settings
from generalthinker.data import DataError, synthetic
from generalthinker.files import write_parquet
from generalthinker.sections import Section


class MarkedResponse(Section):
    """One response with a wrong step, and the range of characters of each wrong place in it.

    A range is [first, one after the last], counted from 0, before the last box. `corrected` is the same response
    without the mistake: it begins with the same characters up to the first wrong place.
    """

    question: str
    answer: str = Field(description="the reference; `C. text` for a multiple-choice question")
    answer_type: str = "math"
    options: list[str] | None = Field(None, description="texts of the options without letters; None for `math`")
    response: str
    mistakes: list[tuple[int, int]] = Field(min_length=1)
    corrected: str | None = None
    task: str = "marked"


def write_marked(settings: Settings, out: Path) -> None:
    """Write the marked responses of `settings.credit` to `out` (Parquet), one line each.

    Raises DataError if the settings ask for none, or if the file of marked responses has a line that cannot be used.
    """
    if settings.credit is None:
        raise DataError(f"{settings.name}: the section `credit` is missing; config/README.md explains it")
    marked = read_marked(settings.credit.marked) if settings.credit.marked else _generated(settings, settings.credit)
    lines = [one.model_dump() | {"mistakes": [[*places] for places in one.mistakes]} for one in marked]
    write_parquet(out, pd.DataFrame(lines), {"origin": settings.credit.marked or "synthetic"})


def read_marked(path: str | Path) -> list[MarkedResponse]:
    """Return the responses in a file of JSON lines. Raises DataError, which names the file and the line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a file of JSON lines in UTF-8: {error}") from None
    marked = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                marked.append(_checked(MarkedResponse.model_validate_json(line)))
            except ValidationError as error:
                problems = (f"{'.'.join(map(str, one['loc'])) or 'line'}: {one['msg']}" for one in error.errors())
                raise DataError(f"{path}, line {number}: {'; '.join(problems)}") from None
            except ValueError as error:
                raise DataError(f"{path}, line {number}: {error}") from None
    if not marked:
        raise DataError(f"{path}: expected at least one response, found none; docs/method.md shows the form of a line")
    return marked


def _checked(marked: MarkedResponse) -> MarkedResponse:
    """Return `marked` if it can be measured; else raise ValueError."""
    if marked.answer_type not in COMPARISONS:
        raise ValueError(f"answer_type = {marked.answer_type!r}: expected one of {', '.join(COMPARISONS)}")
    for key in ("response", "corrected"):
        text = getattr(marked, key)
        if text is not None and ((box := last_box(text)) is None or not (box.content or "").strip()):
            raise ValueError(f"{key}: expected a closed \\boxed{{…}} with an answer at the end, found {text[-60:]!r}")
    box = last_box(marked.response)
    assert box is not None
    for first, stop in marked.mistakes:
        if not 0 <= first < stop <= box.start:
            raise ValueError(
                f"mistakes: [{first}, {stop}]: expected 0 ≤ first < stop ≤ {box.start}, where the last box begins: the "
                "reasoning alone gets credit of its own, token by token"
            )
    start = min(first for first, _ in marked.mistakes)
    if marked.corrected == marked.response:
        raise ValueError("corrected: it is the response itself; leave it out, or write it without the mistake")
    if marked.corrected is not None and not marked.corrected.startswith(marked.response[:start]):
        raise ValueError(f"corrected: expected to begin like the response up to character {start}, the first mistake")
    return marked


def _generated(settings: Settings, credit: CreditSettings) -> list[MarkedResponse]:
    """Return generated responses to questions of the split "test", the same number for each task."""
    rows: list[dict[str, Any]] = [
        row for task in synthetic.TASKS for row in synthetic.rows(task, "test", credit.responses, settings.data.seed)
    ]
    return [
        MarkedResponse(
            question=row["question"],
            answer=row["answer"],
            answer_type=row["answer_type"],
            options=row["options"],
            response=row["slip"],
            mistakes=[row["mistake"]],
            corrected=row["solution"],
            task=row["domain"],
        )
        for row in rows
    ]
