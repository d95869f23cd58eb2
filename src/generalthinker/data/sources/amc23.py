"""AMC 2023 (`math-ai/amc23`): 40 problems with numbers as answers."""

from typing import Any

from generalthinker.records import Question

COLUMNS = ("question", "answer")
LICENCE = None


def question(row: dict[str, Any], index: int) -> Question:
    """Return one problem; a whole number stored as 27.0 becomes "27"."""
    return Question(
        id=f"amc23-{row.get('id', index)}",
        question=row["question"].strip(),
        answer="" if row["answer"] is None else str(row["answer"]).strip().removesuffix(".0"),
        answer_type="math",
        options=None,
        answer_letter=None,
        source="math-ai/amc23",
        domain="math",
    )
