"""Compare questions: for finding duplicates, for decontamination and for the order of the draw."""

import json
import unicodedata
from dataclasses import asdict

from generalthinker.data.choices import stem_of
from generalthinker.records import Question


def comparable_text(text: str) -> str:
    """Return `text` with compatible characters unified (NFKC), case folded and each run of white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def identity(question: Question) -> str:
    """Return a text that is equal for equal questions; the order of the options does not count."""
    options = sorted(comparable_text(option) for option in question.options or ())
    return "\n".join([comparable_text(stem_of(question)), *options])


def content_key(question: Question) -> str:
    """Return everything but the id as one text; the smallest one of repeated rows is kept, whatever their order."""
    content = {key: value for key, value in asdict(question).items() if key != "id"}
    return json.dumps(content, sort_keys=True, ensure_ascii=False)
