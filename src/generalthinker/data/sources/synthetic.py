"""The demo's generated questions (`dataset: synthetic`)."""

from typing import Any

from generalthinker.records import Question

COLUMNS = ("id", "question", "answer", "answer_type", "options", "answer_letter", "domain")
LICENCE = "MIT"


def question(row: dict[str, Any], index: int) -> Question:
    """Return a generated row as a question, without its worked solution and its guess."""
    return Question(**{column: row[column] for column in COLUMNS}, source="synthetic")
