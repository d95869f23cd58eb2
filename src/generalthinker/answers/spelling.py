r"""Equivalent LaTeX is rewritten in one canonical form before answers are compared: `\dfrac12` is `\frac{1}{2}`."""

import re
from functools import lru_cache

from generalthinker.answers.latex import tidy, unwrap

NAME = r"\\?[A-Za-z]+(?:_\{?\w+\}?)?'*(?:\([A-Za-z](?:,[A-Za-z])*\))?"
NAMES = rf"(?:{NAME}|\(\s*{NAME}(?:\s*,\s*{NAME})*\s*\))"

_DOLLARS = re.compile(r"\s*(-?)\s*(?:\\text\{)?\\\$\s*(-?\d[\d,]*(?:\.\d+)?)\.?\}?\s*")
# Text around an answer that does not change it: a label, the letter of an option, x ∈ [0, 1], {x | x > 0}.
_FRAMES = [
    (re.compile(pattern, re.DOTALL), inner)
    for pattern, inner in (
        (r"\A\\text\{[^{}]*(?::|\bis)\s*\}\s*(?=\S)|\A(?i:answer)\s*:\s*(?=\S)", ""),
        (r"\A(?:\\text(?:bf|rm)?\{)?\([A-E]\)\}?\s+(?=\S)", ""),
        (rf"\A{NAMES}\s*\\(?:in|equiv)(?![A-Za-z])\s*", ""),
        (r"\A\\\{\s*\w\s*(?:\\in\s*\\mathbb\s*\{?R\}?)?\s*(?:\\mid|:|\|)(.*)\\\}\Z", r"\1"),
        (r"\A(?:\\text\{\s*)?(?:all real numbers|\\mathbb\s*\{?R\}?)\s*\}?\Z", r"(-\\infty,\\infty)"),
    )
]
# The substitutions are applied in this order, and later ones rely on earlier ones.
_SPELLINGS = [
    (re.compile(pattern, re.DOTALL), spelling)
    for pattern, spelling in (
        # commands
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\d?binom(?![A-Za-z])", r"\\binom"),
        (r"\\frac\s*([0-9A-Za-z])", r"\\frac{\1}"),
        (r"(\\frac\s*\{[^{}]*\})\s*([0-9A-Za-z])", r"\1{\2}"),
        (r"\\sqrt\s*([0-9A-Za-z])", r"\\sqrt{\1}"),
        (r"\\(leq|geq|le|ge)(?:slant)?(?![A-Za-z])", lambda match: f"\\{match[1][:2]}"),
        (r"\+\s*\\infty", r"\\infty"),
        (r"\\varnothing(?![A-Za-z])|\\\{\s*\\\}", r"\\emptyset"),
        (r"\bnp\.", ""),
        (r"(?<![\\A-Za-z])((?:arc)?(?:sin|cos|tan)|cot|log|ln|pi)(?![A-Za-z])", r"\\\1"),
        # subscripts, exponents, number bases: 52_{8}, 52_{\text{8}}, (52)_8
        (r"_\s*\{\s*\\text\s*\{(\w+)\}\s*\}", r"_{\1}"),
        (r"([_^])\s*\{\s*(\w|\\circ)\s*\}", r"\1\2"),
        (r"\((\d+)\)_", r"\1_"),
        # a derivative becomes one symbol, because math-verify would read its d as a factor of the fraction
        (r"\\frac\s*\{(d(?:\^\d)?)\s*([^{}d]*)\}\s*\{(d[^{}]*)\}", lambda match: _symbol("".join(match.groups()))),
        # matrices
        (r"\\\\\s*\[\w+\]", r"\\\\"),
        (
            r"[(\[]\s*\\begin\{(array|matrix)\}(?:\{[clr|]*\})?(.*)\\end\{\1\}\s*[)\]]",
            r"\\begin{pmatrix}\2\\end{pmatrix}",
        ),
        (r"\\begin\{cases\}(.*)\\end\{cases\}", lambda match: match[1].replace(r"\\", ",")),
        (r"\\pmod\s*\{?(\w+)\}?", r"\\pmod{\1}"),
        (r"(?<=[\d.])[eE]([-+]?\d+)(?![\w.])", r" \\times 10^{\1}"),
        (r"\\%|\s*\bpercent\b", "%"),
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


def _symbol(text: str) -> str:
    return f" D_{{{re.sub(r'[^0-9A-Za-z]', '', text)}}} "
