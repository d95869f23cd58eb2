"""MMLU-Pro (`TIGER-Lab/MMLU-Pro`): up to ten options, padded with "N/A" on the hub."""

from typing import Any

from generalthinker.data.choices import LETTERS, multiple_choice
from generalthinker.records import Question

COLUMNS = ("question", "options", "answer")
LICENCE = "MIT"


def question(row: dict[str, Any], index: int) -> Question:
    """Return one question without its "N/A" options; the answer's letter moves with its text.

    Raises ValueError if the letter names no option or one that is "N/A".
    """
    kept = [place for place, option in enumerate(row["options"]) if option.strip() != "N/A"]
    place = LETTERS.index(row["answer"].strip())
    if place not in kept:
        raise ValueError(f"answer {row['answer']!r} names none of the options {row['options']}")
    return multiple_choice(
        id=f"mmlu-pro-{row.get('question_id', index)}",
        stem=row["question"],
        options=[row["options"][k] for k in kept],
        correct=kept.index(place),
        source="TIGER-Lab/MMLU-Pro",
        domain=str(row.get("category") or "mmlu-pro"),
    )
