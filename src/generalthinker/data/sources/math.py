"""MATH (`nlile/hendrycks-MATH-benchmark`): 12,000 training problems, and MATH-500 as its test split."""

from typing import Any

from generalthinker.records import Question

COLUMNS = ("problem", "answer")
LICENCE = "MIT"


def question(row: dict[str, Any], index: int) -> Question:
    """Return one problem with its short answer; the columns subject and level are optional."""
    return Question(
        id=str(row.get("unique_id") or f"math-{index}"),
        question=row["problem"].strip(),
        answer=row["answer"].strip(),
        answer_type="math",
        options=None,
        answer_letter=None,
        source="nlile/hendrycks-MATH-benchmark",
        domain=str(row.get("subject") or "math"),
    )
