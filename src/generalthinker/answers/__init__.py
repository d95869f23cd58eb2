"""Grading: the last boxed answer is compared with the reference answer. math-verify is the only framework used here."""

from collections.abc import Callable, Sequence

from generalthinker.answers import choice, mathematics
from generalthinker.answers.boxed import BOX, Box, last_box
from generalthinker.answers.reasons import REASONS
from generalthinker.records import LETTERS, AnswerType, Grade

CORRECT = frozenset({"equal_text", "equal_value", "letter", "option_text"})

# A comparison takes a box's content, the reference and the options (None without options), and returns a reason.
Comparison = Callable[[str, str, Sequence[str] | None], str]
# A new answer type is a file with a comparison and a line here.
COMPARISONS: dict[AnswerType, Comparison] = {
    "mcq": choice.compare,
    "math": mathematics.compare,
}


def grade(response: str, reference: str, answer_type: AnswerType, options: Sequence[str] | None = None) -> Grade:
    r"""Return the verdict on `response`: its last `\boxed{…}` against `reference`.

    For "mcq", `reference` is "C. text" and `options` holds the option texts without letters. Any thread may call it; a
    comparison that hangs or crashes is a wrong answer. Raises ValueError for an unknown answer type, and for a boxed
    answer to a multiple-choice question whose reference has no letter or whose options are missing.

    >>> grade(r"so \boxed{\dfrac12}", "0.5", "math")
    Grade(correct=True, extracted='\\dfrac12', reason='equal_value')
    >>> grade(r"so \boxed{(B)}", "C. three", "mcq", ["one", "two", "three"])
    Grade(correct=False, extracted='(B)', reason='different')
    """
    if answer_type not in COMPARISONS:
        raise ValueError(f"answer_type = {answer_type!r}: expected one of {', '.join(COMPARISONS)}")
    box = last_box(response)
    if box is None:
        return Grade(False, None, "no_box")
    content = box.content
    if content is None:
        content = _known_answer(response[box.start + len(BOX) :], reference, options)
    if content is None:
        return Grade(False, None, "unbalanced_box")
    content = content.strip()
    if not content:
        return Grade(False, content, "empty_box")
    reason = COMPARISONS[answer_type](content, reference, options)
    return Grade(reason in CORRECT, content, reason)


def _known_answer(unclosed: str, reference: str, options: Sequence[str] | None) -> str | None:
    r"""Return the longest of the known answers that the text after an unclosed `\boxed{` starts with, then a brace.

    Without this, the right answer would be wrong for the few options whose own braces are not balanced.
    """
    texts = [] if options is None else list(options)
    lettered = [f"{letter}. {text}" for letter, text in zip(LETTERS, texts, strict=False)]
    known = [reference, *texts, *lettered]
    return max((answer for answer in known if unclosed.startswith(f"{answer}}}")), key=len, default=None)


__all__ = ["COMPARISONS", "CORRECT", "REASONS", "Box", "Comparison", "grade", "last_box"]
