r"""Mathematical answers: compared as text in canonical LaTeX, then part by part, and last by math-verify.

Several values, tuples and intervals are split into their parts here, and math-verify receives only single expressions.
It would otherwise accept some wrong answers: (1, -2) is not {1, -2}, and [0, 1] is not (0, 1).
"""

import re
from collections import Counter
from collections.abc import Sequence

from generalthinker.answers import verifier
from generalthinker.answers.exact_numbers import read_number
from generalthinker.answers.latex import unwrap
from generalthinker.answers.parts import brackets, is_set, sides, split_values
from generalthinker.answers.spelling import NAMES, canonical_latex, key, unframed
from generalthinker.answers.units import conflict, split_unit

MAX_CHARACTERS = 2000
MAX_EXPRESSION = 500
MAX_VALUES = 24

_NAMES = re.compile(NAMES)
# What may stand on the left of "= 0" without being an equation to solve: a letter, a word, |x|, an integral, a number.
_QUANTITY = re.compile(
    r"(?:\\?[A-Za-z]|[A-Z]{2,}|[A-Za-z]{3,})(?:_(?:\w|\{[^{}]*\}))?(?:\s*\([^()]*\))?"
    r"|\|.*\||\\(?:int|sum|prod|lim|det|angle)(?![A-Za-z]).*|[^A-Za-z\\]*"
)
_APPROXIMATELY = re.compile(r"\\(?:approx|simeq|sim)(?![A-Za-z])")
_THOUSANDS_COMMA = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)")
# An answer without brackets can equal an interval or a vector only if it contains one of these.
_COMPARED_WITH_PARTS = re.compile(r"[<>]|\\(?:le|ge|lt|gt|neq?)(?![A-Za-z])|\\begin|\\mathbb")
_WORD = re.compile(r"[^\W\d_]{3,}|[A-Z]{2,}|(?i:no)")
# lower case, upper case or a capitalised word; two capitals, as in AB, are symbols, but "NO" is a word
_PLAIN_CASE = re.compile(r"\W*(?:(?i:no)|[^\W\d_A-Z]+|[A-Z][^\W\d_A-Z]+|[A-Z]{3,})\W*")
_LETTERS_ONLY = re.compile(r"[^\W\d_]+(?:[\s'.,&-]+[^\W\d_]+)*")
# i is the imaginary unit, but not where it is an index or an argument: a_i, \sum_{i=1}, f(i)
_INDEX = re.compile(r"_i(?![A-Za-z])|_\{(?:[^{}]*[^A-Za-z{}\\])?i(?![A-Za-z])|(?<![A-Za-z])[A-Za-z]\(i\)")
_LETTER_I = re.compile(r"(?<![A-Za-z\\])i(?![A-Za-z])")
_BASED = re.compile(r"\d+_(?:\d|\{\d+\})")


class _TooLongError(Exception):
    """An expression too long for math-verify."""


def compare(content: str, reference: str, options: Sequence[str] | None) -> str:
    """Return the reason for the verdict on a box's `content` against `reference`, also after an error or a timeout.

    `options` is not used; it is there because all comparisons have the same signature.
    """
    if content.strip() == reference.strip():
        return "equal_text"
    if max(len(content), len(reference)) > MAX_CHARACTERS:
        return "too_long"
    given, wanted = (unframed(canonical_latex(text)) for text in (content, reference))
    if any(_INDEX.search(text) for text in (given, wanted)):
        given, wanted = (_LETTER_I.sub(r"\\iota ", text) for text in (given, wanted))
    if not given:
        return "empty_box"
    if key(given) == key(wanted):
        return "equal_text"
    try:
        with verifier.one_limit():
            return "equal_value" if _same(given, wanted, depth=0) else "different"
    except _TooLongError:
        return "too_long"
    except verifier.ComparisonTimeoutError:
        return "timeout"
    except (verifier.ComparisonFailedError, RecursionError):
        return "grader_error"


def _same(given: str, wanted: str, depth: int) -> bool:
    """Return whether two answers in canonical LaTeX are equal; `depth` counts the levels of parts around them."""
    if key(given) == key(wanted):
        return True
    if depth > 4:
        return False
    if _APPROXIMATELY.search(given):
        return any(_same(side, wanted, depth + 1) for side in _APPROXIMATELY.split(given) if side.strip())
    (given, given_unit), (wanted, wanted_unit) = _without_unit(given, wanted), _without_unit(wanted, given)
    given, wanted = _entries_named(given, wanted), _entries_named(wanted, given)
    given, wanted = _without_assignments(given, wanted)
    if conflict(given_unit, wanted_unit):
        return False
    if key(given) == key(wanted):
        return True
    one, other = read_number(given), read_number(wanted)
    if one and other:
        return one.equals(other)
    given_parts, wanted_parts = _entries(given, wanted), _entries(wanted, given)
    if given_parts and wanted_parts:
        return (
            given_parts[0] == wanted_parts[0]
            and len(given_parts[1]) == len(wanted_parts[1])
            and all(_same(g, w, depth + 1) for g, w in zip(given_parts[1], wanted_parts[1], strict=True))
        )
    if any(split_values(text) is not None for text in (given, wanted)):
        repeated = not is_set(wanted)
        return any(_same_set(g, w, depth, repeated) for g in _readings(given) for w in _readings(wanted))
    if (len(sides(given)) > 1) != (len(sides(wanted)) > 1):
        return False
    if (given_parts or wanted_parts) and not _COMPARED_WITH_PARTS.search(wanted if given_parts else given):
        return False
    if _BASED.fullmatch(wanted):
        return key(given) == wanted.partition("_")[0]  # the question names the base, so an answer may leave it out
    if _BASED.fullmatch(given):
        return False
    if _wordy(given) or _wordy(wanted):
        return _folded(given) == _folded(wanted)
    return _equal_expressions(given, wanted)


def _entries(text: str, other: str) -> tuple[str, list[str]] | None:
    """Return the brackets and the entries of a tuple, interval or vector, and None for anything else.

    "x = 3, y = 4" is read as a tuple if the other answer is one.
    """
    if (enclosed := brackets(text)) or not brackets(other):
        return enclosed
    named = [_assignment(value) for value in split_values(text) or []]
    if len({pair[0] for pair in named if pair}) == len(named) > 1:
        return "()", [pair[1] for pair in named if pair]
    return None


def _entries_named(text: str, other: str) -> str:
    """Return "(x, y) = (1, 2)" as "x = 1, y = 2" if the other answer gives values to the same names in this form."""
    pair, values = _assignment(text), split_values(other)
    if not pair or not values or not (entries := brackets(pair[1])) or not (names := brackets(pair[0])):
        return text
    if {key(name) for name in names[1]} != {value[0] for each in values if (value := _assignment(each))}:
        return text
    return ", ".join(f"{name} = {entry}" for name, entry in zip(names[1], entries[1], strict=False))


def _readings(text: str) -> list[list[str]]:
    """Return the possible readings of "100,200": two values, or one value with a thousands comma."""
    texts = [text, _THOUSANDS_COMMA.sub(lambda match: match[0].replace(",", ""), text)]
    return [split_values(reading) or [reading] for reading in dict.fromkeys(texts)]


def _without_unit(text: str, other: str) -> tuple[str, str | None]:
    """Return an answer without its unit, and the unit; the percent sign stays, because a number needs it."""
    value, unit = split_unit(text, other)
    value, unit = (unwrap(value), unit) if unit else split_unit(unwrap(value), other)
    return value, unit or ("percent" if value.endswith("%") else None)


def _same_set(given: list[str], wanted: list[str], depth: int, repeated: bool) -> bool:
    """Return whether every value of either list is in the other; order does not matter.

    If `repeated`, a value that is wanted twice must be given twice: -2 is not all of "a and b are -2, -2".
    """
    if max(len(given), len(wanted)) > MAX_VALUES:
        raise _TooLongError
    if len(given) == len(wanted) == 1:
        return _same(given[0], wanted[0], depth + 1)
    times = Counter(map(key, wanted))
    equal = [[_same(unframed(g), unframed(w), depth + 1) for w in wanted] for g in given]
    return all(any(row) for row in equal) and all(
        sum(column) >= (times[key(w)] if repeated else 1)
        for column, w in zip(zip(*equal, strict=True), wanted, strict=True)
    )


def _assignment(text: str) -> tuple[str, str] | None:
    """Return the name and the value of "x = 5" or "(x, y) = (1, 2)", and None for anything else."""
    parts = sides(text)
    return (key(parts[0]), parts[1]) if len(parts) == 2 and _NAMES.fullmatch(parts[0]) else None


def _without_assignments(given: str, wanted: str) -> tuple[str, str]:
    """Return both answers without "x =" if only one of them has it, or if both have it for the same variable."""
    given_pair, wanted_pair = _assignment(given), _assignment(wanted)
    if given_pair and wanted_pair:
        return (given_pair[1], wanted_pair[1]) if given_pair[0] == wanted_pair[0] else (given, wanted)
    given_sides, wanted_sides = sides(given), sides(wanted)
    if len(wanted_sides) == 1 and len(given_sides) > 1 and split_values(given) is None:
        # P(A) = 1/3 + 1/4 = 7/12 means 7/12, but x^2 - 1 = 0 is an equation and not 0
        if given_sides[-1] != "0" or _QUANTITY.fullmatch(given_sides[0]):
            given = given_sides[-1]
    elif len(wanted_sides) == 1 and given_pair:
        given = given_pair[1]
    elif len(given_sides) == 1 and len(wanted_sides) == 2 and (wanted_pair or _QUANTITY.fullmatch(wanted_sides[0])):
        wanted = wanted_sides[1]
    return given, wanted


def _wordy(text: str) -> bool:
    """Return whether an answer is words; math-verify would read "east" and "seat" as equal products of letters."""
    return bool(_LETTERS_ONLY.fullmatch(text) and _WORD.search(text))


def _folded(text: str) -> str:
    """Return words without letter case: "east" is "East". The case of AB, of sRMC and of other symbols stays."""
    words = unwrap(text).split()
    return key(" ".join(word.casefold() if _PLAIN_CASE.fullmatch(word) else word for word in words))


def _equal_expressions(given: str, wanted: str) -> bool:
    """Return math-verify's verdict on two expressions."""
    if max(len(given), len(wanted)) > MAX_EXPRESSION:
        raise _TooLongError
    return verifier.equal(wanted, given)
