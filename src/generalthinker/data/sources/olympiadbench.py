"""OlympiadBench (`math-ai/olympiadbench`): an answer may consist of several values, and a response must give all."""

from typing import Any

from generalthinker.records import Question

COLUMNS = ("question", "final_answer")
LICENCE = None


def question(row: dict[str, Any], index: int) -> Question:
    """Return one problem; several values become one answer, "1, 2". Raises ValueError for an empty list."""
    values = row["final_answer"]
    values = [values] if isinstance(values, str) else list(values or [])
    texts = [str(value).strip().strip("$").strip() for value in values]
    if not any(texts):
        raise ValueError("final_answer is empty")
    return Question(
        id=str(row.get("id") or f"olympiadbench-{index}"),
        question=row["question"].strip(),
        answer=", ".join(texts),
        answer_type="math",
        options=None,
        answer_letter=None,
        source="math-ai/olympiadbench",
        domain=str(row.get("subfield") or "math"),
    )
