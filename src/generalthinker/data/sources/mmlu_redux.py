"""MMLU-Redux (`edinburgh-dawg/mmlu-redux-2.0`): 57 subjects of 100 questions, all of them, with MMLU's own label."""

from typing import Any

from generalthinker.data.choices import multiple_choice
from generalthinker.records import Question

COLUMNS = ("question", "choices", "answer")
LICENCE = "CC-BY-4.0"


def question(row: dict[str, Any], index: int) -> Question:
    """Return one question; what the annotators said about it (`error_type`, `correct_answer`) changes nothing."""
    return multiple_choice(
        id=f"mmlu-redux-{index}",
        stem=row["question"],
        options=row["choices"],
        correct=int(row["answer"]),
        source="edinburgh-dawg/mmlu-redux-2.0",
        # fetch puts the subset's name here where it reads all of a dataset's subsets
        domain=str(row.get("subset") or "mmlu-redux"),
    )
