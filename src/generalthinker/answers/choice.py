"""Multiple choice: the letter in any usual form, else an option's whole text; never a letter picked out of prose."""

import re
from collections.abc import Sequence

from generalthinker.answers.latex import tidy, unwrap

_REFERENCE = re.compile(r"([A-Z])(?:\.|$)")
_NAMED = r"(?:(?:the\s+)?(?:correct\s+|final\s+)?(?:option|choice|answer)\s*(?:is)?\s*:?\s*)?"
_LETTER = re.compile(rf"{_NAMED}[(\[]?\s*([A-Za-z])\s*[)\]]?\s*[.:)]?", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(
    rf"{_NAMED}(?:[(\[]\s*([A-Z])\s*[)\]]\s*[.:-]?|([A-Z])\s*[.:)]|([A-Z])\s+[-–—])\s*(\S.*)", re.DOTALL
)
_LETTER_THEN_TEXT = re.compile(r"([A-Z])\s+(\S.*)", re.DOTALL)


def reference_letter(reference: str) -> str:
    """Return the letter of a reference "C. text". Raises ValueError if none leads it."""
    if match := _REFERENCE.match(reference):
        return match[1]
    raise ValueError(f"multiple-choice reference {reference!r}: expected the form 'C. text'")


def compare(content: str, reference: str, options: Sequence[str]) -> str:
    """Return the reason for the verdict on a box's `content` against a reference "C. text" with these options."""
    right = ord(reference_letter(reference)) - ord("A")
    given = unwrap(tidy(content))
    if match := _LETTER.fullmatch(given):
        index = ord(match[1].upper()) - ord("A")
        if index < len(options):
            return "letter" if index == right else "different"
    named = _with_text(given, options)
    if whole := _matching(given, options):
        return "option_text" if right in whole else "different"
    if named is None:
        return "not_an_option"
    return "letter" if named == right else "different"


def _matching(text: str, options: Sequence[str]) -> set[int]:
    """Return the options whose whole text is `text`; letter case counts only where it tells options apart."""
    spelled = [unwrap(tidy(option)) for option in options]
    exact = {index for index, option in enumerate(spelled) if option == text}
    return exact or {index for index, option in enumerate(spelled) if option.casefold() == text.casefold()}


def _with_text(given: str, options: Sequence[str]) -> int | None:
    """Return the option that "C. text" names; None if its text is another option, or it is no such form at all."""
    if match := _LETTER_AND_TEXT.fullmatch(given):
        letter, rest, free = match[1] or match[2] or match[3], match[4], True
    elif match := _LETTER_THEN_TEXT.fullmatch(given):
        # "A cat" is prose unless option A says "cat"
        letter, rest, free = match[1], match[2], False
    else:
        return None
    index = ord(letter) - ord("A")
    if index >= len(options):
        return None
    named = _matching(rest, options)
    if index in named:
        return index
    if named or not free or _LETTER.fullmatch(rest):
        return None
    return index
