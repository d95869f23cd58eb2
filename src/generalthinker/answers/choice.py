"""Multiple-choice answers: a letter in any usual form, or an option's whole text; never a letter inside a sentence."""

import re
from collections.abc import Sequence

from generalthinker.answers.latex import tidy, unwrap
from generalthinker.answers.spelling import canonical_latex, key
from generalthinker.records import LETTERS

_REFERENCE = re.compile(r"([A-Z])(?:\.|$)")
_NAMED = r"(?:(?:the\s+)?(?:correct\s+|final\s+)?(?:option|choice|answer)\s*(?:is)?\s*:?\s*)?"
_NAMED_LETTER = re.compile(rf"{_NAMED}[(\[\"]?\s*([A-Z])\s*[)\]\"]?\s*[.:)]?", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(
    rf"(?i:{_NAMED}(?:[(\[]\s*([A-Z])\s*[)\]]\s*(?:[.:]|[-—]\s)?|([A-Z])\s*[.:)]|([A-Z])\s+[-—]\s))\s*(\S.*)", re.DOTALL
)
_LETTER_THEN_TEXT = re.compile(rf"(?i:{_NAMED})([A-Z])(?:\s*\((.*)\)|[\s,]\s*(\S.*))", re.DOTALL)
# If one of these follows "C.", the answer does not simply choose option C: "C. and D.", "C. is wrong".
_SAYS_MORE_THAN_A_LETTER = re.compile(
    r"^(?:[,;/&?]|(?:and|or|nor|is|isn't)\b)|(?:[,;/&]|\b(?:and|or|not))\s*\(?[A-Z]\)?(?![\w'])"
    r"|(?<!\w)\(?[A-Z][).:](?!\w)"
)
_NEGATION = re.compile(r"(?:not?|never)\b", re.IGNORECASE)
MAX_CHARACTERS = 5000


def reference_letter(reference: str) -> str:
    """Return the letter of a reference "C. text". Raises ValueError if the reference does not start with a letter."""
    if match := _REFERENCE.match(reference):
        return match[1]
    raise ValueError(f"multiple-choice reference {reference!r}: expected the form 'C. text'")


def compare(content: str, reference: str, options: Sequence[str] | None) -> str:
    """Return the reason for the verdict on a box's `content` against a reference "C. text" with these options.

    Raises ValueError if the options are missing or the reference does not have this form.
    """
    if options is None:
        raise ValueError(f"multiple-choice reference {reference!r}: its options are needed")
    right = _index(reference_letter(reference))
    chosen, reason = _chosen(unwrap(tidy(content)), options)
    if not chosen:
        return "not_an_option"
    return reason if right in chosen else "different"


def _chosen(given: str, options: Sequence[str]) -> tuple[set[int], str]:
    """Return the options that `given` chooses (several only if their texts are equal), and the reason if it is correct.

    A single capital is read as a letter even if it is also an option's text. Any other answer is first compared with
    the options' texts.
    """
    spelled = [unwrap(tidy(option)) for option in options]
    places = range(len(options))
    if len(given) == 1 and given.isupper() and _index(given) in places:
        return {_index(given)}, "letter"
    if exact := {place for place in places if spelled[place] == given}:
        return exact, "option_text"
    if (match := _NAMED_LETTER.fullmatch(given)) and _index(match[1]) in places:
        return {_index(match[1])}, "letter"
    if len(given) > MAX_CHARACTERS:
        return set(), "option_text"
    if alike := _alike(given, spelled):
        return alike if len({spelled[place] for place in alike}) == 1 else set(), "option_text"
    named = _with_text(given, spelled)
    return set() if named is None else {named}, "letter"


def _alike(given: str, options: list[str]) -> set[int]:
    """Return the options whose text is `given`; letter case decides only between those that differ in nothing else."""
    text = _loose(given)
    alike = {place for place, option in enumerate(options) if _loose(option) == text}
    return {place for place in alike if key(options[place]) == key(given)} or alike


def _with_text(given: str, options: list[str]) -> int | None:
    """Return the option that "C. text" names; None if the text is another option's or the answer has another form."""
    if match := _LETTER_AND_TEXT.fullmatch(given):
        letter, rest, delimited = match[1] or match[2] or match[3], match[4], True
    elif match := _LETTER_THEN_TEXT.fullmatch(given):
        # "A cat" names option A only if that option's text is "cat".
        letter, rest, delimited = match[1], match[2] or match[3], False
    else:
        return None
    index = _index(letter)
    if index >= len(options):
        return None
    named = _alike(rest, options)
    if index in named:
        return index
    delimited = delimited and letter.isupper()  # "e. 1.5 M" quotes option E, "i. e." does not name option I
    # "C. B", "C. text of option D" and "C. and D." choose no option.
    if not delimited or named or _NAMED_LETTER.fullmatch(rest) or _SAYS_MORE_THAN_A_LETTER.search(rest):
        return None
    # "C. not a cat" chooses none either, unless option C begins in this way
    negation = _NEGATION.match(rest)
    return (
        None if negation and (not _NEGATION.match(options[index]) or _alike(rest[negation.end() :], options)) else index
    )


def _loose(text: str) -> str:
    """Return a text without layout, letter case, spaces and thousands commas, to compare an option with an answer."""
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", key(canonical_latex(text.casefold())))


def _index(letter: str) -> int:
    """Return the index of the option that `letter` names (0 is "A"), or -1 if it is not a letter from A to Z."""
    return LETTERS.find(letter.upper())
