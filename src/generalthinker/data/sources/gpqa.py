"""GPQA (`Idavidrein/gpqa`, gated; gpqa_main and gpqa_diamond): one correct answer, three incorrect ones."""

import hashlib
from typing import Any

from generalthinker.data.choices import multiple_choice
from generalthinker.records import Question

ANSWERS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
COLUMNS = ("Question", *ANSWERS)
LICENCE = "CC-BY-4.0"


def question(row: dict[str, Any], index: int) -> Question:
    """Return one question; a hash of its text decides the order of the four options, so every run has the same."""
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
