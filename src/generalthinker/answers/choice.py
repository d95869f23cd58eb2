"""Multiple choice: the letter in any usual form, else an option's whole text; never a letter picked out of prose."""

import re
from collections.abc import Sequence

from generalthinker.answers.latex import tidy, unwrap
from generalthinker.answers.spelling import key, normalise

_REFERENCE = re.compile(r"([A-Z])(?:\.|$)")
_NAMED = r"(?:(?:the\s+)?(?:correct\s+|final\s+)?(?:option|choice|answer)\s*(?:is)?\s*:?\s*)?"
_LETTER = re.compile(r"[(\[\"]?\s*([A-Z])\s*[)\]\"]?\s*[.:)]?")
_NAMED_LETTER = re.compile(rf"{_NAMED}{_LETTER.pattern}", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(
    rf"(?i:{_NAMED})(?:[(\[]\s*([A-Z])\s*[)\]]\s*(?:[.:]|[-—]\s)?|([A-Z])\s*[.:)]|([A-Z])\s+[-—]\s)\s*(\S.*)", re.DOTALL
)
_LETTER_THEN_TEXT = re.compile(rf"(?i:{_NAMED})([A-Z])(?:\s*\((.*)\)|[\s,]\s*(\S.*))", re.DOTALL)
# after "C." these mean that something other than option C is being said
_SAYS_MORE = re.compile(
    r"^(?:[,;/&?]|(?:and|or|nor|is|isn't)\b)|(?:[,;/&]|\b(?:and|or|not))\s*\(?[A-Z]\)?(?![\w'])|(?<!\w)\(?[A-Z][).:](?!\w)"
)
MAX_CHARACTERS = 5000


def reference_letter(reference: str) -> str:
    """Return the letter of a reference "C. text". Raises ValueError if none leads it."""
    if match := _REFERENCE.match(reference):
        return match[1]
    raise ValueError(f"multiple-choice reference {reference!r}: expected the form 'C. text'")


def compare(content: str, reference: str, options: Sequence[str]) -> str:
    """Return the reason for the verdict on a box's `content` against a reference "C. text" with these options."""
    right = _index(reference_letter(reference))
    chosen, reason = _chosen(unwrap(tidy(content)), options)
    if not chosen:
        return "not_an_option"
    return reason if right in chosen else "different"


def _chosen(given: str, options: Sequence[str]) -> tuple[set[int], str]:
    """Return the options that `given` chooses (several only where their texts are the same), and by what.

    A bare capital is the letter even where it is also an option's text; everything else is an option's text first.
    """
    spelled = [unwrap(tidy(option)) for option in options]
    places = range(len(options))
    if (match := _LETTER.fullmatch(given)) and given not in spelled and _index(match[1]) in places:
        return {_index(match[1])}, "letter"
    if len(given) == 1 and given.isupper() and _index(given) in places:
        return {_index(given)}, "letter"
    if exact := {place for place in places if spelled[place] == given}:
        return exact, "option_text"
    if (match := _NAMED_LETTER.fullmatch(given)) and _index(match[1]) in places:
        return {_index(match[1])}, "letter"
    if len(given) > MAX_CHARACTERS:
        return set(), "option_text"
    keys = [_loose(option) for option in options]
    if (named := _with_text(given, keys)) is not None:
        return {named}, "letter"
    alike = {place for place in places if keys[place] == _loose(given)}
    return alike if len({spelled[place] for place in alike}) == 1 else set(), "option_text"


def _with_text(given: str, keys: list[str]) -> int | None:
    """Return the option that "C. text" names; None if its text is another option's, or it is no such form at all."""
    if match := _LETTER_AND_TEXT.fullmatch(given):
        letter, rest, delimited = match[1] or match[2] or match[3], match[4], True
    elif match := _LETTER_THEN_TEXT.fullmatch(given):
        # "A cat" is prose unless option A says "cat"
        letter, rest, delimited = match[1], match[2] or match[3], False
    else:
        return None
    index = _index(letter)
    if index >= len(keys):
        return None
    named = {place for place, text in enumerate(keys) if text == _loose(rest)}
    if index in named:
        return index
    # "C. B", "C. text of option D" and "C. and D." choose nothing
    return (
        index if delimited and not named and not _NAMED_LETTER.fullmatch(rest) and not _SAYS_MORE.search(rest) else None
    )


def _loose(text: str) -> str:
    """Return what an option's text must share with an answer: no layout, no case, no spaces, no thousands commas."""
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", key(normalise(text))).casefold()


def _index(letter: str) -> int:
    return ord(letter.upper()) - ord("A")
