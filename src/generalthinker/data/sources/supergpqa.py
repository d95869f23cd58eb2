"""SuperGPQA (`m-a-p/SuperGPQA`): graduate-level questions with four to ten options."""

from typing import Any

from generalthinker.data.choices import index_of, multiple_choice
from generalthinker.records import Question

COLUMNS = ("uuid", "question", "options", "answer_letter")
LICENCE = "ODC-BY"


def question(row: dict[str, Any], index: int) -> Question:
    """Return one question; the letter, not the answer's text, decides which option is correct."""
    return multiple_choice(
        id=str(row["uuid"]),
        stem=row["question"],
        options=row["options"],
        correct=index_of(row["answer_letter"].strip()),
        source="m-a-p/SuperGPQA",
        domain=str(row.get("discipline") or "supergpqa"),
    )
