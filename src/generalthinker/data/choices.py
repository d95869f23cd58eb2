"""Multiple choice as the model sees it: options as paragraphs "A. text" after the question, the answer "C. text"."""

import string
from collections.abc import Sequence

from generalthinker.records import Question

LETTERS = string.ascii_uppercase


def letter(index: int) -> str:
    """Return the letter of the option at `index` (0 is "A")."""
    return LETTERS[index]


def paragraphs(stem: str, options: Sequence[str]) -> str:
    """Return the question with its options below it, a blank line between paragraphs (PROTOCOL, "Training data")."""
    return "\n\n".join([stem, *(f"{letter(i)}. {option}" for i, option in enumerate(options))])


def multiple_choice(*, id: str, stem: str, options: Sequence[str], correct: int, source: str, domain: str) -> Question:
    """Return the multiple-choice question whose right option is at index `correct`; texts are stripped.

    Raises ValueError for no or more than 26 options and for an index outside them.
    """
    options = [str(option).strip() for option in options]
    if not 1 <= len(options) <= len(LETTERS):
        raise ValueError(f"{len(options)} options; expected 1 to {len(LETTERS)}")
    if not 0 <= correct < len(options):
        raise ValueError(f"the answer is option {correct} (counted from 0), but there are {len(options)} options")
    return Question(
        id=id,
        question=paragraphs(stem.strip(), options),
        answer=f"{letter(correct)}. {options[correct]}",
        answer_type="mcq",
        options=options,
        answer_letter=letter(correct),
        source=source,
        domain=domain,
    )


def stem_of(question: Question) -> str:
    """Return the question's text without its options."""
    if question.options is None:
        return question.question
    tail = paragraphs("", question.options)
    return question.question.removesuffix(tail)
