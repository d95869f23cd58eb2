"""A dataset of one's own with the columns `question` and `answer`; with `options` a row is multiple choice."""

from typing import Any

from generalthinker.data.choices import index_of, multiple_choice
from generalthinker.records import Question

COLUMNS = ("question", "answer")
LICENCE = None  # the file does not say


def question(row: dict[str, Any], index: int) -> Question:
    """Return one question; the columns options, id and domain are optional. The source is the setting `dataset`.

    An answer without options is compared as mathematics, or as text. With `options`, a list of texts, the answer is one
    of them or its letter. Raises ValueError if it is neither.
    """
    id, domain = str(row.get("id") or f"row-{index}"), str(row.get("domain") or "unnamed")
    stem, answer = str(row["question"]).strip(), str(row["answer"]).strip()
    if row.get("options"):
        options = [str(option).strip() for option in row["options"]]
        correct = options.index(answer) if answer in options else index_of(answer)
        return multiple_choice(id=id, stem=stem, options=options, correct=correct, source="", domain=domain)
    return Question(
        id=id,
        question=stem,
        answer=answer,
        answer_type="math",
        options=None,
        answer_letter=None,
        source="",
        domain=domain,
    )
