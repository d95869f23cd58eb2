"""MMLU (`cais/mmlu`, all): four options; the answer is an index."""

from typing import Any

from generalthinker.data.choices import multiple_choice
from generalthinker.records import Question

COLUMNS = ("question", "choices", "answer")
LICENCE = "MIT"


def question(row: dict[str, Any], index: int) -> Question:
    """Return one question."""
    return multiple_choice(
        id=f"mmlu-{index}",
        stem=row["question"],
        options=row["choices"],
        correct=int(row["answer"]),
        source="cais/mmlu",
        domain=str(row.get("subject") or "mmlu"),
    )
