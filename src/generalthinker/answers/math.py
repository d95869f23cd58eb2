r"""Mathematical answers: equal as text after normalisation, else part by part, and at last by math-verify.

What has parts (several values, tuples, intervals) is taken apart here, so that math-verify, which compares some of
these loosely, only ever sees single expressions: (1, -2) is not {1, -2}, and [0, 1] is not (0, 1).
"""

import re
from functools import lru_cache

from generalthinker.answers import verifier
from generalthinker.answers.latex import tidy, unwrap
from generalthinker.answers.numbers import read_number
from generalthinker.answers.parts import brackets, split_values
from generalthinker.answers.units import conflict, split_unit

MAX_CHARACTERS = 2000
MAX_EXPRESSION = 300
MAX_VALUES = 24

_NAME = r"\\?[A-Za-z]+(?:_\{?\w+\}?)?'*(?:\([A-Za-z](?:,[A-Za-z])*\))?"
_ASSIGNED = re.compile(rf"\s*({_NAME})\s*(?:=|\\in(?![A-Za-z]))\s*(?P<value>[^=]+)", re.DOTALL)
_INEQUALITY = re.compile(r"[<>]|\\(?:le|ge|leq|geq|lt|gt|neq?)(?![A-Za-z])")
_WORD = re.compile(r"[^\W\d_]{3,}|[A-Z]{2,}")
_BARE_FUNCTION = re.compile(r"(?<![\\A-Za-z])(sin|cos|tan|cot|log|ln|pi)(?![A-Za-z])")
_LETTERS_ONLY = re.compile(r"[^\W\d_]+(?:[\s'.,&-]+[^\W\d_]+)*")
_BASED = re.compile(r"\d+_(?:\d|\{\d+\})")


class _TooLongError(Exception):
    """An expression too long for math-verify."""


def compare(content: str, reference: str) -> str:
    """Return the reason for the verdict on a box's `content` against `reference`; every outcome is a reason."""
    if content.strip() == reference.strip():
        return "equal_text"
    if max(len(content), len(reference)) > MAX_CHARACTERS:
        return "too_long"
    given, wanted = normalise(content), normalise(reference)
    if not given:
        return "empty_box"
    if _key(given) == _key(wanted):
        return "equal_text"
    try:
        return "equal_value" if _same(given, wanted, depth=0) else "different"
    except _TooLongError:
        return "too_long"
    except verifier.ComparisonTimeoutError:
        return "timeout"
    except (verifier.ComparisonFailedError, RecursionError):
        return "grader_error"


@lru_cache(maxsize=10_000)
def normalise(text: str) -> str:
    r"""Return an answer in one spelling: layout gone, `\dfrac12` as `\frac{1}{2}`, `x_{1}` as `x_1`; units stay."""
    text = re.sub(r"\\[dtc]frac(?![A-Za-z])", r"\\frac", tidy(text.replace("~", " ")))
    text = re.sub(r"\\frac\s*([0-9A-Za-z])", r"\\frac{\1}", text)
    text = re.sub(r"(\\frac\s*\{[^{}]*\})\s*([0-9A-Za-z])", r"\1{\2}", text)
    text = re.sub(r"\\sqrt\s*([0-9A-Za-z])", r"\\sqrt{\1}", text)
    text = re.sub(r"([_^])\s*\{\s*(\w)\s*\}", r"\1\2", text)
    text = re.sub(r"\\(?:leq|geq)(?![A-Za-z])", lambda m: m[0][:3], text)
    text = re.sub(r"\\varnothing(?![A-Za-z])|\\\{\s*\\\}", r"\\emptyset", _BARE_FUNCTION.sub(r"\\\1", text))
    return re.sub(r"\\%|\s*\bpercent\b", "%", text)


def _key(text: str) -> str:
    """Return what must agree for two answers to be the same text; spaces stay only where they part two numbers."""
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", unwrap(text))


def _same(given: str, wanted: str, depth: int) -> bool:
    if _key(given) == _key(wanted):
        return True
    if depth > 4:
        return False
    (given, given_unit), (wanted, wanted_unit) = _without_unit(given), _without_unit(wanted)
    given, wanted = _alike_assigned(given, wanted)
    if given_unit or wanted_unit:
        if conflict(given_unit, wanted_unit):
            return False
        if _key(given) == _key(wanted):
            return True
    one, other = read_number(given), read_number(wanted)
    if one and other:
        return one.equals(other)
    given_values, wanted_values = split_values(given), split_values(wanted)
    if given_values is not None or wanted_values is not None:
        return _same_set(given_values or [given], wanted_values or [wanted], depth)
    given_parts, wanted_parts = brackets(given), brackets(wanted)
    if given_parts and wanted_parts:
        return (
            given_parts[0] == wanted_parts[0]
            and len(given_parts[1]) == len(wanted_parts[1])
            and all(_same(g, w, depth + 1) for g, w in zip(given_parts[1], wanted_parts[1], strict=True))
        )
    if given_parts or wanted_parts:
        plain = wanted if given_parts else given
        return bool(_INEQUALITY.search(plain)) and _equal_expressions(given, wanted)
    if _BASED.fullmatch(given) or _BASED.fullmatch(wanted):
        return _key(given) == _key(wanted)
    if _wordy(given) or _wordy(wanted):
        return _key(given).casefold() == _key(wanted).casefold()
    return _equal_expressions(given, wanted)


def _without_unit(text: str) -> tuple[str, str | None]:
    value, unit = split_unit(text)
    return (unwrap(value), unit) if unit else split_unit(unwrap(value))


def _same_set(given: list[str], wanted: list[str], depth: int) -> bool:
    """Return whether every value of either list is in the other: order and repetition do not matter."""
    if max(len(given), len(wanted)) > MAX_VALUES:
        raise _TooLongError
    if len(given) == len(wanted) == 1:
        return _same(given[0], wanted[0], depth + 1)
    found = [[_same(g, w, depth + 1) for w in wanted] for g in given]
    return all(any(row) for row in found) and all(any(column) for column in zip(*found, strict=True))


def _alike_assigned(given: str, wanted: str) -> tuple[str, str]:
    """Return both answers without "x =" (or "x ∈") where only one of them has it, or both name the same variable."""
    matches = _ASSIGNED.fullmatch(given), _ASSIGNED.fullmatch(wanted)
    values = [match["value"].strip() if match else text for match, text in zip(matches, (given, wanted), strict=True)]
    if matches[0] and matches[1]:
        return (values[0], values[1]) if matches[0][1] == matches[1][1] else (given, wanted)
    plain = wanted if matches[0] else given
    return (values[0], values[1]) if "=" not in plain else (given, wanted)


def _wordy(text: str) -> bool:
    """Return whether an answer is words, which math-verify would read as a product of letters: east, seat."""
    return bool(_LETTERS_ONLY.fullmatch(text) and _WORD.search(text))


def _equal_expressions(given: str, wanted: str) -> bool:
    if max(len(given), len(wanted)) > MAX_EXPRESSION:
        raise _TooLongError
    return verifier.equal(wanted, given)
