"""Removal of the LaTeX commands that change only the appearance of an answer, such as sizes, fonts and spaces."""

import re

_CHARACTERS = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "，": ",",
        "×": r"\times ",
        "·": r"\cdot ",
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
        "µ": "μ",  # the micro sign, U+00B5
        "\u212b": "Å",
        "\u2126": "Ω",
        "“": '"',
        "”": '"',
        "’": "'",
    }
)
_LAYOUT = re.compile(
    r"\\(?:text)?color\{\w+\}|\\(?:left|right)\.|\\(?:left|right|displaystyle|textstyle|[Hh]uge|L(?:ARGE|arge)|large|small|[bB]igg?[lrm]?|mathstrut|nonumber)(?![A-Za-z])"
)
# The first alternative matches `\\`, the end of a matrix row, so that its second half is not read as the space "\ ".
_SPACING = re.compile(r"(\\\\)|\\!|\\[,;:> ]|\\q?quad(?![A-Za-z])|\\[hv]space\*?\{[^{}]*\}|\s+")
_FONT = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:bf|it|rm|sf|tt|cal|bb)?|mbox|boldsymbol|bm|operatorname\*?|emph|underline)"
    r"\s*\{([^{}]*)\}"
)
# The thousands separators of 12{,}345, 12,\!345, 12\,345 and 12\ 345, which all mean 12345.
_THOUSANDS = re.compile(r"\{,\}|\\text\{,\}|,\s*\\!\s*|(?<=\d)\\[, ](?=\d{3}(?!\d))")
_UNICODE_ROOT = re.compile(r"√\s*(\d+)")
_WRAPPED = re.compile(r"\\\((.*)\\\)|\\\[(.*)\\\]|\*\*(.*)\*\*", re.DOTALL)


def tidy(text: str) -> str:
    """Return `text` in plain LaTeX: one kind of minus and of space, without dollar signs, sizes and final dots.

    All dollar signs are removed, those around mathematics and those of a currency. Font commands stay (see `unwrap`).
    `~` stays too, because it is a space in mathematics and a negation in logic.
    """
    text = _UNICODE_ROOT.sub(r"\\sqrt{\1}", text).translate(_CHARACTERS).replace(r"\$", "").replace("$", "").strip()
    if match := _WRAPPED.fullmatch(text):
        text = next(group for group in match.groups() if group is not None)
    text = _LAYOUT.sub("", _THOUSANDS.sub("", text))
    text = _SPACING.sub(lambda match: match[1] or ("" if match[0] == r"\!" else " "), text)
    return _without_final_dot(text)


def unwrap(text: str) -> str:
    r"""Return `text` with font and text commands replaced by their content: `\text{east}` becomes "east"."""
    for _ in range(4):  # no real answer nests commands deeper than this
        text, count = _FONT.subn(r"\1", text)
        if not count:
            break
    return _without_final_dot(" ".join(text.split()))


def _without_final_dot(text: str) -> str:
    text = text.strip()
    return text if text.endswith("...") else text.rstrip(".,;: \\")
