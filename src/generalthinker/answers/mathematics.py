r"""Mathematical answers: compared as text in canonical LaTeX, then part by part, and last by math-verify.

Several values, tuples and intervals are split into their parts here, and math-verify receives only single expressions.
It would otherwise accept some wrong answers: (1, -2) is not {1, -2}, and [0, 1] is not (0, 1).
"""

import re
from collections.abc import Sequence

from generalthinker.answers import verifier
from generalthinker.answers.exact_numbers import read_number
from generalthinker.answers.latex import unwrap
from generalthinker.answers.parts import brackets, split_values
from generalthinker.answers.spelling import NAMES, canonical_latex, key, unframed
from generalthinker.answers.units import conflict, split_unit

MAX_CHARACTERS = 2000
MAX_EXPRESSION = 300
MAX_VALUES = 24

_ASSIGNED = re.compile(rf"\s*({NAMES})\s*=\s*(?P<value>[^=]+)", re.DOTALL)
_APPROXIMATELY = re.compile(r"\\(?:approx|simeq|sim)(?![A-Za-z])")
_THOUSANDS_COMMA = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)")
_INEQUALITY = re.compile(r"[<>]|\\(?:le|ge|leq|geq|lt|gt|neq?)(?![A-Za-z])")
# An answer without brackets can equal an interval or a vector only if it contains one of these.
_COMPARED_WITH_PARTS = re.compile(rf"{_INEQUALITY.pattern}|\\begin|\\mathbb")
_WORD = re.compile(r"[^\W\d_]{3,}|[A-Z]{2,}")
_LETTERS_ONLY = re.compile(r"[^\W\d_]+(?:[\s'.,&-]+[^\W\d_]+)*")
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
    (given, given_unit), (wanted, wanted_unit) = _without_unit(given), _without_unit(wanted)
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
        return any(_same_set(g, w, depth) for g in _readings(given) for w in _readings(wanted))
    if bool(_INEQUALITY.search(given)) != bool(_INEQUALITY.search(wanted)) and not (given_parts or wanted_parts):
        return False
    if (given_parts or wanted_parts) and not _COMPARED_WITH_PARTS.search(wanted if given_parts else given):
        return False
    if _BASED.fullmatch(wanted):
        return key(given) == wanted.partition("_")[0]  # the question names the base, so an answer may leave it out
    if _BASED.fullmatch(given):
        return False
    if _wordy(given) or _wordy(wanted):
        return key(given).casefold() == key(wanted).casefold()
    return _equal_expressions(given, wanted)


def _entries(text: str, other: str) -> tuple[str, list[str]] | None:
    """Return the brackets and the entries of a tuple, interval or vector, and None for anything else.

    "x = 3, y = 4" is read as a tuple if the other answer is one.
    """
    if (enclosed := brackets(text)) or not brackets(other):
        return enclosed
    named = [_ASSIGNED.fullmatch(value) for value in split_values(text) or []]
    if len({match[1] for match in named if match}) == len(named) > 1:
        return "()", [match["value"] for match in named if match]
    return None


def _readings(text: str) -> list[list[str]]:
    """Return the possible readings of "100,200": two values, or one value with a thousands comma."""
    texts = [text, _THOUSANDS_COMMA.sub(lambda match: match[0].replace(",", ""), text)]
    return [split_values(reading) or [reading] for reading in dict.fromkeys(texts)]


def _without_unit(text: str) -> tuple[str, str | None]:
    """Return an answer without its unit, and the unit; the percent sign stays, because a number needs it."""
    value, unit = split_unit(text)
    value, unit = (unwrap(value), unit) if unit else split_unit(unwrap(value))
    return value, unit or ("percent" if value.endswith("%") else None)


def _same_set(given: list[str], wanted: list[str], depth: int) -> bool:
    """Return whether every value of either list is in the other; order and repetition do not matter."""
    if max(len(given), len(wanted)) > MAX_VALUES:
        raise _TooLongError
    if len(given) == len(wanted) == 1:
        return _same(given[0], wanted[0], depth + 1)
    equal = [[_same(g, w, depth + 1) for w in wanted] for g in given]
    return all(any(row) for row in equal) and all(any(column) for column in zip(*equal, strict=True))


def _without_assignments(given: str, wanted: str) -> tuple[str, str]:
    """Return both answers without "x =" if only one of them has it, or if both have it for the same variable."""
    matches = _ASSIGNED.fullmatch(given), _ASSIGNED.fullmatch(wanted)
    if matches[0] and matches[1] and matches[0][1] != matches[1][1]:
        return given, wanted
    if matches[0] and ("=" not in wanted or matches[1]):
        given = matches[0]["value"].strip()
    elif "=" not in wanted and split_values(given) is None:
        given = given.rsplit("=", 1)[-1].strip()  # P(A) = 1/3 + 1/4 = 7/12 means 7/12
    if matches[1] and ("=" not in given or matches[0]):
        wanted = matches[1]["value"].strip()
    return given, wanted


def _wordy(text: str) -> bool:
    """Return whether an answer is words; math-verify would read "east" and "seat" as equal products of letters."""
    return bool(_LETTERS_ONLY.fullmatch(text) and _WORD.search(text))


def _equal_expressions(given: str, wanted: str) -> bool:
    """Return math-verify's verdict on two expressions."""
    if max(len(given), len(wanted)) > MAX_EXPRESSION:
        raise _TooLongError
    return verifier.equal(wanted, given)
