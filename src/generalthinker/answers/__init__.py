"""Grading: the last boxed answer against the reference. No framework beyond math-verify is imported here."""

import string
from collections.abc import Sequence
from typing import get_args

from generalthinker.answers import choice, math
from generalthinker.answers.boxed import BOX, Box, last_box
from generalthinker.answers.reasons import REASONS
from generalthinker.records import AnswerType, Grade

LETTERS = string.ascii_uppercase
CORRECT = frozenset({"equal_text", "equal_value", "letter", "option_text"})


def grade(response: str, reference: str, answer_type: AnswerType, options: Sequence[str] | None = None) -> Grade:
    r"""Return the verdict on `response`: its last `\boxed{…}` against `reference` (PROTOCOL, "Grading").

    For "mcq", `reference` is "C. text" and `options` the bare texts. Safe in any thread; a comparison that hangs or
    crashes is a wrong answer. Raises ValueError for an unknown answer type, or a multiple-choice reference without
    letter or options.

    >>> grade(r"so \boxed{\dfrac12}", "0.5", "math")
    Grade(correct=True, extracted='\\dfrac12', reason='equal_value')
    >>> grade(r"so \boxed{(B)}", "C. three", "mcq", ["one", "two", "three"])
    Grade(correct=False, extracted='(B)', reason='different')
    """
    if answer_type not in get_args(AnswerType):
        raise ValueError(f"answer_type = {answer_type!r}: expected one of {get_args(AnswerType)}")
    box = last_box(response)
    if box is None:
        return Grade(False, None, "no_box")
    content = box.content
    if content is None:
        content = _as_it_stands(response[box.start + len(BOX) :], reference, options)
    if content is None:
        return Grade(False, None, "unbalanced_box")
    content = content.strip()
    if not content:
        return Grade(False, content, "empty_box")
    if answer_type == "mcq":
        if options is None:
            raise ValueError(f"multiple-choice reference {reference!r}: its options are needed")
        reason = choice.compare(content, reference, options)
    else:
        reason = math.compare(content, reference)
    return Grade(reason in CORRECT, content, reason)


def _as_it_stands(text: str, reference: str, options: Sequence[str] | None) -> str | None:
    """Return the known answer that an unclosed box begins with: a few options have braces that do not balance."""
    known = [reference, *(options if options is not None else [])]
    known += [f"{LETTERS[place]}. {option}" for place, option in enumerate(options if options is not None else [])]
    return max((answer for answer in known if text.startswith(f"{answer}}}")), key=len, default=None)


__all__ = ["CORRECT", "REASONS", "Box", "grade", "last_box"]
