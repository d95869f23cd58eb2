"""Splitting an answer into its parts: several values, or the entries of a tuple, interval or vector."""

import itertools
import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"\\langle|\\rangle|\\[{}]|\\cup(?![A-Za-z])|\\[A-Za-z]+|\\.|[()\[\]{},;]|(?<=\s)(?:and|or)(?=\s)|\s+|.", re.DOTALL
)
_OPENING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\langle": r"\rangle"}
_CLOSING = {")", "]", "}", r"\}", r"\rangle"}
_SEPARATORS = {",", ";", "and", "or", r"\cup"}
MAX_SIGNS = 4
_COLUMN = re.compile(
    r"\\begin\{([pb]matrix)\}((?:(?!\\begin|\\end|&).)*\\\\(?:(?!\\begin|\\end|&).)*)\\end\{\1\}", re.DOTALL
)
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![A-Za-z])\s?")


def split_values(text: str) -> list[str] | None:
    r"""Return the values of "1, 2 and 3", `\{1, 2\}`, `2 \pm \sqrt{3}` or `(0,1) \cup (2,3)`; None if it is no list."""
    inner = _enclosed(text, "{", "}") if text.startswith("{") else _enclosed(text, r"\{", r"\}")
    values = [value for part in _split(text if inner is None else inner) for value in _signs(part)]
    values = [value for value in values if value]
    return values if inner is not None or len(values) > 1 else None


def is_set(text: str) -> bool:
    r"""Return whether a text is a set in braces, such as `\{1, 2\}`."""
    return _enclosed(text, r"\{", r"\}") is not None


def sides(text: str) -> list[str]:
    r"""Return the sides of an equation; `=` inside brackets, as in `\sum_{k=1}^{3} k`, is no sign of equality."""
    return _split(text, {"="})


def brackets(text: str) -> tuple[str, list[str]] | None:
    """Return the brackets and the entries of a tuple, interval or (column) vector; None for anything else.

    >>> brackets("(3, 4]"), brackets("(a+5)(b+2)"), brackets("(5)")
    (('(]', ['3', '4']), None, None)
    """
    if column := _COLUMN.fullmatch(text.strip()):
        return "()", column[2].split(r"\\")
    for opening, closings in (("(", ")]"), ("[", "])"), (r"\langle", (r"\rangle",))):
        for closing in closings:
            inner = _enclosed(text, opening, closing)
            if inner is not None and len(entries := _split(inner)) > 1:
                kind = "()" if opening == r"\langle" else opening + closing
                return kind, entries
    return None


def _tokens(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each token with its position and its depth, the number of brackets open around it.

    A bracket itself has the depth of the text outside it.
    """
    depth = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in _CLOSING:
            depth -= 1
        yield token, match.start(), depth
        if token in _OPENING:
            depth += 1


def _enclosed(text: str, opening: str, closing: str) -> str | None:
    """Return the text inside the brackets around the whole text, or None; the pair may be of two kinds: (3, 4]."""
    text = text.strip()
    if not (text.startswith(opening) and text.endswith(closing)):
        return None
    end = len(text) - len(closing)
    for _, position, depth in _tokens(text):
        if depth == 0 and position not in (0, end):
            return None
    return text[len(opening) : end]


def _split(text: str, separators: set[str] = _SEPARATORS) -> list[str]:
    """Return the parts of `text` between the separators that are outside all brackets."""
    parts, start = [], 0
    for token, position, depth in _tokens(text):
        if depth == 0 and token in separators:
            parts.append(text[start:position].strip())
            start = position + len(token)
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def _signs(text: str) -> list[str]:
    r"""Return the values of an expression with `\pm` or `\mp`, and any other expression alone.

    The signs of `\pm 1 \pm i` are independent: it has four values. Beside a `\mp`, all signs change together.
    """
    signs = _PLUS_MINUS.findall(text)
    if not signs:
        return [text]
    if "mp" in signs or len(signs) > MAX_SIGNS:
        choices = [["+" if sign == "pm" else "-" for sign in signs], ["-" if sign == "pm" else "+" for sign in signs]]
    else:
        choices = [list(choice) for choice in itertools.product("+-", repeat=len(signs))]
    between = _PLUS_MINUS.split(text)[::2]
    return ["".join(itertools.chain(*zip(between, [*choice, ""], strict=True))) for choice in choices]
