"""Minerva (`math-ai/minervamath`): undergraduate science; the answers have units and scientific notation."""

from typing import Any

from generalthinker.records import Question

COLUMNS = ("question", "answer")
LICENCE = None


def question(row: dict[str, Any], index: int) -> Question:
    """Return one problem with its short answer."""
    return Question(
        id=f"minerva-{index}",
        question=row["question"].strip(),
        answer="" if row["answer"] is None else str(row["answer"]).strip(),
        answer_type="math",
        options=None,
        answer_letter=None,
        source="math-ai/minervamath",
        domain="science",
    )
