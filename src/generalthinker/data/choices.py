"""Multiple-choice questions as text: options follow the question as paragraphs "A. text", the answer is "C. text"."""

from collections.abc import Sequence

from generalthinker.records import LETTERS, Question


def letter(index: int) -> str:
    """Return the letter of the option at `index` (0 is "A")."""
    return LETTERS[index]


def index_of(letter: str) -> int:
    """Return the index of the option with this letter ("A" is 0). Raises ValueError for anything but one letter A–Z."""
    if len(letter) != 1 or letter not in LETTERS:
        raise ValueError(f"the answer is {letter!r}; expected one letter from {LETTERS[0]} to {LETTERS[-1]}")
    return LETTERS.index(letter)


def paragraphs(stem: str, options: Sequence[str]) -> str:
    """Return the question with its options below it, a blank line between paragraphs."""
    return "\n\n".join([stem, *(f"{letter(i)}. {option}" for i, option in enumerate(options))])


def multiple_choice(*, id: str, stem: str, options: Sequence[str], correct: int, source: str, domain: str) -> Question:
    """Return the multiple-choice question whose correct option is at index `correct`; texts are stripped.

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
