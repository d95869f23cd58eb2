"""MMLU-Pro (`TIGER-Lab/MMLU-Pro`): up to ten options; the hub's rows fill empty places with "N/A"."""

from typing import Any

from generalthinker.data.choices import index_of, multiple_choice
from generalthinker.records import Question

COLUMNS = ("question", "options", "answer")
LICENCE = "MIT"


def question(row: dict[str, Any], index: int) -> Question:
    """Return one question without its "N/A" options; the correct option gets the letter of its new place.

    Raises ValueError if the letter names no option or one that is "N/A".
    """
    kept = [index for index, option in enumerate(row["options"]) if option.strip() != "N/A"]
    correct = index_of(row["answer"].strip())
    if correct not in kept:
        raise ValueError(f"answer {row['answer']!r} names none of the options {row['options']}")
    return multiple_choice(
        id=f"mmlu-pro-{row.get('question_id', index)}",
        stem=row["question"],
        options=[row["options"][index] for index in kept],
        correct=kept.index(correct),
        source="TIGER-Lab/MMLU-Pro",
        domain=str(row.get("category") or "mmlu-pro"),
    )
