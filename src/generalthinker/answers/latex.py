"""LaTeX that says how an answer looks, not what it is: taken off before anything is compared."""

import re

_CHARACTERS = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "，": ",",
        "\u00a0": " ",
        "×": r"\times ",
        "·": r"\cdot ",
        "÷": r"\div ",
        "±": r"\pm ",
        "π": r"\pi ",
        "θ": r"\theta ",
        "∞": r"\infty ",
        "∪": r"\cup ",
        "∈": r"\in ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "°": r"^\circ",
        "²": "^2",
        "³": "^3",
        "√": r"\sqrt ",
        "≈": r"\approx ",
        "∅": r"\emptyset ",
        "“": '"',
        "”": '"',
        "’": "'",
    }
)
_LAYOUT = re.compile(
    r"\\(?:text)?color\{\w+\}|\\(?:left|right)\.|\\(?:left|right|displaystyle|textstyle|[Hh]uge|L(?:ARGE|arge)|large|small|[bB]igg?[lrm]?|mathstrut|nonumber)(?![A-Za-z])"
)
# The first alternative keeps `\\`, a matrix's row end, from being read as the start of "\ ".
_SPACING = re.compile(r"(\\\\)|\\!|\\[,;:> ]|\\q?quad(?![A-Za-z])|\\[hv]space\*?\{[^{}]*\}|\s+")
_FONT = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:bf|it|rm|sf|tt|cal|bb)?|mbox|boldsymbol|bm|operatorname\*?|emph|underline)"
    r"\s*\{([^{}]*)\}"
)
# 12{,}345, 12,\!345, 12\,345 and 12\ 345 are 12345
_THOUSANDS = re.compile(r"\{,\}|\\text\{,\}|,\s*\\!\s*|(?<=\d)\\[, ](?=\d{3}(?!\d))")
_UNICODE_ROOT = re.compile(r"√\s*(\d+)")
_WRAPPED = re.compile(r"\\\((.*)\\\)|\\\[(.*)\\\]|\*\*(.*)\*\*", re.DOTALL)


def tidy(text: str) -> str:
    """Return `text` in plain LaTeX spelling: one kind of minus and space, no dollar signs, sizes or final dots.

    Dollar signs go whether they open mathematics or name a currency; font commands stay (see `unwrap`), and so does
    `~`, which is a space in mathematics and a negation in logic.
    """
    text = _UNICODE_ROOT.sub(r"\\sqrt{\1}", text).translate(_CHARACTERS).replace(r"\$", "").replace("$", "").strip()
    if match := _WRAPPED.fullmatch(text):
        text = next(group for group in match.groups() if group is not None)
    text = _LAYOUT.sub("", _THOUSANDS.sub("", text))
    text = _SPACING.sub(lambda m: m[1] or ("" if m[0] == r"\!" else " "), text)
    return _without_stop(text)


def unwrap(text: str) -> str:
    r"""Return `text` with font and text commands replaced by what they hold: `\text{east}` is "east"."""
    for _ in range(4):  # commands nested deeper than this are no answer
        text, count = _FONT.subn(r"\1", text)
        if not count:
            break
    return _without_stop(" ".join(text.split()))


def _without_stop(text: str) -> str:
    text = text.strip()
    return text if text.endswith("...") else text.rstrip(".,;: \\")
