"""When two questions are the same: for duplicates, decontamination and the order of the draw."""

import json
import unicodedata
from dataclasses import asdict

from generalthinker.data.choices import stem_of
from generalthinker.records import Question


def normalise(text: str) -> str:
    """Return `text` with compatible characters unified (NFKC), case folded and each run of white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def identity(question: Question) -> str:
    """Return the normalised question; options in another order make no new question."""
    options = sorted(normalise(option) for option in question.options or ())
    return "\n".join([normalise(stem_of(question)), *options])


def content_key(question: Question) -> str:
    """Return everything but the id as one text: a choice between repeated rows that does not depend on their order."""
    content = {key: value for key, value in asdict(question).items() if key != "id"}
    return json.dumps(content, sort_keys=True, ensure_ascii=False)
