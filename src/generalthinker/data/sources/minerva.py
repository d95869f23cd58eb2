"""Minerva (`math-ai/minervamath`): undergraduate science with units and scientific notation in the references."""

from typing import Any

from generalthinker.records import Question

COLUMNS = ("question", "answer")
LICENCE = None


def question(row: dict[str, Any], index: int) -> Question:
    """Return one problem with its short answer."""
    return Question(
        id=f"minerva-{index}",
        question=row["question"].strip(),
        answer=str(row["answer"]).strip(),
        answer_type="math",
        options=None,
        answer_letter=None,
        source="math-ai/minervamath",
        domain="science",
    )
