"""OlympiadBench (`math-ai/olympiadbench`): a reference may be several values, all of which are asked for."""

from typing import Any

from generalthinker.records import Question

COLUMNS = ("question", "final_answer")
LICENCE = None


def question(row: dict[str, Any], index: int) -> Question:
    """Return one problem; several values become one answer, "1, 2". Raises ValueError for an empty list."""
    values = row["final_answer"]
    values = [values] if isinstance(values, str) else list(values or [])
    if not values:
        raise ValueError("final_answer is empty")
    return Question(
        id=str(row.get("id") or f"olympiadbench-{index}"),
        question=row["question"].strip(),
        answer=", ".join(str(value).strip().strip("$").strip() for value in values),
        answer_type="math",
        options=None,
        answer_letter=None,
        source="math-ai/olympiadbench",
        domain=str(row.get("subfield") or "math"),
    )
