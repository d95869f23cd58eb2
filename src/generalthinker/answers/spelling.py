r"""Equivalent LaTeX is rewritten in one canonical form before answers are compared: `\dfrac12` is `\frac{1}{2}`."""

import re
from functools import lru_cache

from generalthinker.answers.latex import tidy, unwrap

NAME = r"\\?[A-Za-z]+(?:_(?:\w|\{[^{}]*\}))?'*\s*(?:\(\s*\\?[A-Za-z]+(?:\s*,\s*\\?[A-Za-z]+)*\s*\))?"
NAMES = rf"(?:{NAME}|\(\s*{NAME}(?:\s*,\s*{NAME})*\s*\))"

_DOLLARS = re.compile(r"\s*(-?)\s*(?:\\text\{)?\\\$\s*(-?\d[\d,]*(?:\.\d+)?)\.?\}?\s*")
_FOR_ALL = r"(?:for (?:all|any|every|each|some)|where)\b"
_DOMAIN = r"\\?[A-Za-z]+(?:\s*,\s*\\?[A-Za-z]+)*\s*\\in\s*\\mathbb\s*\{?[A-Z]\}?(?:[_^](?:[\w+*]|\{[^{}]*\}))*"
# Text around an answer that does not change it: a label, an option's letter, x ∈ [0, 1], {x | x > 0}, for all x ∈ ℝ.
_FRAMES = [
    (re.compile(pattern, re.DOTALL), inner)
    for pattern, inner in (
        (r"\A\\text\{[^{}]*(?::|\b(?:is|about|approximately))\s*\}\s*(?=\S)|\A(?i:answer)\s*:\s*(?=\S)", ""),
        (r"\A(?:\\text(?:bf|rm)?\{)?\([A-E]\)\}?\s+(?=\S)", ""),
        (rf"\A{NAMES}\s*\\(?:in|equiv)(?![A-Za-z])\s*", ""),
        (r"\A[a-z]\s*(?=\([^()]*,[^()]*\]\Z|\[[^()]*,[^()]*\)\Z)", ""),  # t(0, 4], with the ∈ left out
        (r"\A\\\{\s*\w\s*(?:\\in\s*\\mathbb\s*\{?R\}?)?\s*(?:\\mid|:|\|)(.*)\\\}\Z", r"\1"),
        (
            rf"(?<=[^\s,;(])\s*[,;(]?\s*(?:\\text\s*\{{\s*,?\s*{_FOR_ALL}[^{{}}]*\}}[^=<>]*|(?<=\s){_FOR_ALL}[^{{}}=<>]*)\Z",
            "",
        ),
        (
            rf"(?<=[^\s,;(])\s*(?:[,;(]|\\text\s*\{{[^{{}}]*\}}|\\forall|for(?: all)?|where|with)"
            rf"[\s,(]*(?:\\text\s*\{{[^{{}}]*\}}\s*|\\forall\s*)?{_DOMAIN}\s*\)?\Z",
            "",
        ),
        (r"\A(?:\\text\{\s*)?(?:all real numbers|\\mathbb\s*\{?R\}?)\s*\}?\Z", r"(-\\infty,\\infty)"),
    )
]
# The substitutions are applied in this order, and later ones rely on earlier ones.
_SPELLINGS = [
    (re.compile(pattern, re.DOTALL), spelling)
    for pattern, spelling in (
        # commands
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\frac\s*([0-9A-Za-z]|\\[a-z]+(?![a-z{]))", r"\\frac{\1}"),
        (r"(\\frac\s*\{[^{}]*\})\s*([0-9A-Za-z]|\\[a-z]+(?![a-z{]))", r"\1{\2}"),
        (r"\\(leq|geq|le|ge)(?:slant)?(?![A-Za-z])", lambda match: f"\\{match[1][:2]}"),
        (r"\\varnothing(?![A-Za-z])|\\\{\s*\\\}", r"\\emptyset"),
        (r"\bnp\.", ""),
        (r"(?<![\\A-Za-z])((?:arc)?(?:sin|cos|tan)|cot|log|ln|pi)(?![A-Za-z])", r"\\\1"),
        (r"\{\s*\{?([^{}]*)\}?\s*\\choose(?![A-Za-z])\s*\{?([^{}]*)\}?\s*\}", r"\\binom{\1}{\2}"),
        # subscripts, exponents, number bases: 52_{8}, 52_{\text{8}}, (52)_8
        (r"_\s*\{\s*\\(max|min)\s*\}", r"_{\1}"),
        (r"([_^])\s*\{\s*(\w|\\circ)\s*\}", r"\1\2"),
        (r"\((\d+)\)_", r"\1_"),
        (r"\\mathrm\s*\{\s*d\s*\}", "d "),
        # dx/dt, \dot{x} and x' become one symbol: math-verify reads d as a factor, and drops the prime
        (
            r"\\frac\s*\{\s*d(?:\^(\d))?\s*(\\?[A-Za-z]+(?:_(?:\w|\{\w+\}))?)\s*\}\s*\{\s*d\s*\\?[A-Za-z](?(1)\^\1)\s*\}",
            lambda match: _derivative(match[1] or 1, match[2]),
        ),
        (
            r"(?<![A-Za-z\\])d\s?([A-Za-z](?:_\w)?)\s*/\s*d\s?[A-Za-z](?![A-Za-z])",
            lambda match: _derivative(1, match[1]),
        ),
        (
            r"\\(d+)ot(?:\s*\{\s*(\\?[A-Za-z]+)\s*\}|\s+([A-Za-z])|\s*(\\[a-z]+))(_\w|_\{\w+\})?",
            lambda match: _derivative(len(match[1]), "".join(part or "" for part in match.groups()[1:])),
        ),
        (
            r"(?<![A-Za-z\\])(\\[a-z]+|[A-Za-z])(_\w|_\{\w+\})?(?:\^\s*\{?\s*((?:\\prime\s*)+)\}?|('+))",
            lambda match: _derivative(
                (match[3] or match[4]).count("p") + (match[4] or "").count("'"), match[1] + (match[2] or "")
            ),
        ),
        # matrices
        (r"\\\\\s*\[\w+\]", r"\\\\"),
        (r"\\begin\{cases\}(.*)\\end\{cases\}", lambda match: match[1].replace(r"\\", ",")),
        (r"(?<=[\d.])[eE]([-+]?\d+)(?![\w.])", r" \\times 10^{\1}"),
    )
]


@lru_cache(maxsize=10_000)
def canonical_latex(text: str) -> str:
    r"""Return an answer in canonical LaTeX, no layout: `\dfrac12` is `\frac{1}{2}`, `x_{1}` is `x_1`. Units stay."""
    if dollars := _DOLLARS.fullmatch(text):
        text = f"{dollars[1]}{dollars[2]} dollars"
    text = tidy(text.replace("~", " "))
    for pattern, spelling in _SPELLINGS:
        text = pattern.sub(spelling, text)
    return text


def unframed(text: str) -> str:
    r"""Return an answer in canonical LaTeX without the text around it: `x \in [0, 1]` is `[0, 1]`."""
    for pattern, inner in _FRAMES:
        text = pattern.sub(inner, text)
    return text


def key(text: str) -> str:
    """Return the key that two answers share if their texts are equal; only spaces between two numbers are kept."""
    text = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", unwrap(text))
    return re.sub(r"([_^])\{(-?\w+)\}(?!\d)", r"\1\2", text)


def _derivative(order: str | int, name: str) -> str:
    return f" D_{{{order}{re.sub(r'[^0-9A-Za-z]', '', name)}}} "
