"""MMLU-Redux (`edinburgh-dawg/mmlu-redux-2.0`): 57 subjects with 100 questions each; all keep MMLU's own label."""

from typing import Any

from generalthinker.data.choices import multiple_choice
from generalthinker.records import Question

COLUMNS = ("question", "choices", "answer")
LICENCE = "CC-BY-4.0"


def question(row: dict[str, Any], index: int) -> Question:
    """Return one question; the annotators' columns (`error_type`, `correct_answer`) are not used."""
    return multiple_choice(
        id=f"mmlu-redux-{index}",
        stem=row["question"],
        options=row["choices"],
        correct=int(row["answer"]),
        source="edinburgh-dawg/mmlu-redux-2.0",
        # `fetch` adds the subset's name when it reads all subsets of a dataset.
        domain=str(row.get("subset") or "mmlu-redux"),
    )
