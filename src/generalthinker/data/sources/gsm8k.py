"""GSM8K (`openai/gsm8k`, main): the reference answer follows "####"."""

from typing import Any

from generalthinker.records import Question

COLUMNS = ("question", "answer")
LICENCE = "MIT"


def question(row: dict[str, Any], index: int) -> Question:
    """Return one word problem; thousands separators are removed from the answer. Raises ValueError without "####"."""
    _, mark, number = row["answer"].rpartition("####")
    if not mark:
        raise ValueError('no "####" in the answer')
    return Question(
        id=f"gsm8k-{index}",
        question=row["question"].strip(),
        answer=number.strip().replace(",", ""),
        answer_type="math",
        options=None,
        answer_letter=None,
        source="openai/gsm8k",
        domain="math",
    )
