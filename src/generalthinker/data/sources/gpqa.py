"""GPQA (`Idavidrein/gpqa`, gated; gpqa_main and gpqa_diamond): the right answer and three wrong ones in columns."""

import hashlib
from typing import Any

from generalthinker.data.choices import multiple_choice
from generalthinker.records import Question

ANSWERS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
COLUMNS = ("Question", *ANSWERS)
LICENCE = "CC-BY-4.0"


def question(row: dict[str, Any], index: int) -> Question:
    """Return one question, its four answers in an order that a hash of the question decides: the same in every run."""
    stem = row["Question"].strip()
    order = sorted(range(len(ANSWERS)), key=lambda place: hashlib.sha256(f"{place}\n{stem}".encode()).digest())
    return multiple_choice(
        id=str(row.get("Record ID") or f"gpqa-{index}"),
        stem=stem,
        options=[row[ANSWERS[place]] for place in order],
        correct=order.index(0),
        source="Idavidrein/gpqa",
        domain=str(row.get("High-level domain") or "science"),
    )
