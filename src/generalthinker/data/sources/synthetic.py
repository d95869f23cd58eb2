"""The embedded default's questions (`dataset: synthetic`), already in the form of a question."""

from typing import Any

from generalthinker.records import Question

COLUMNS = ("id", "question", "answer", "answer_type", "options", "answer_letter", "domain")
LICENCE = "MIT"


def question(row: dict[str, Any], index: int) -> Question:
    """Return a generated row as a question; the worked solution and the guess that the row also has stay behind."""
    return Question(**{column: row[column] for column in COLUMNS}, source="synthetic")
