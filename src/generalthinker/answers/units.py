"""Units after a value: they are removed before values are compared, and two different known units make a conflict."""

import re

_PREFIXES = {"": "", "kilo": "k", "mega": "M", "giga": "G", "tera": "T", "centi": "c", "milli": "m", "micro": "μ"}
_PREFIXES |= {"nano": "n", "pico": "p", "femto": "f"}
# symbol → names; with every prefix
_PREFIXED = {
    **{"m": "meter metre", "g": "gram", "s": "second sec", "A": "ampere amp", "K": "kelvin", "mol": "mole"},
    **{"J": "joule", "N": "newton", "W": "watt", "Pa": "pascal", "Hz": "hertz", "V": "volt", "C": "coulomb"},
    **{"F": "farad", "Ω": "ohm", "T": "tesla", "H": "henry", "eV": "electronvolt", "L": "l liter litre"},
    **{"pc": "parsec", "cal": "calorie", "bar": "", "Wb": "weber"},
}
_OTHERS = {
    **{"degree": "degrees deg", "percent": "", "dollar": "dollars usd USD", "cent": "cents", "radian": "radians rad"},
    **{"inch": "in inches", "foot": "ft feet", "yard": "yd yards", "mile": "mi miles", "mph": "", "kph": ""},
    **{"min": "minute minutes", "h": "hr hrs hour hours", "day": "days", "week": "weeks", "month": "months"},
    **{"year": "yr yrs years", "pound": "lb lbs pounds", "ounce": "oz ounces", "unit": "units", "am": "AM", "pm": "PM"},
    **{"Å": "angstrom angstroms ångström ångströms", "AU": "au", "ly": "", "arcsec": "arcsecs arcsecond arcseconds"},
    **{"arcmin": "arcminute arcminutes", "M⊙": "", "L⊙": "", "R⊙": "", "erg": "ergs", "dyn": "dyne dynes", "atm": ""},
}
_KNOWN = {
    alias: letter + symbol
    for symbol, names in _PREFIXED.items()
    for prefix, letter in _PREFIXES.items()
    for alias in (letter + symbol, *(prefix + name + s for name in names.split() for s in ("", "s")))
} | {alias: name for name, aliases in _OTHERS.items() for alias in (name, *aliases.split())}
_POWERS = {"square": "2", "sq": "2", "squared": "2", "cubic": "3", "cubed": "3"}
_NOT_UNITS = {"and", "or", "not", "more", "less", "least", "most", "than", "mod", "infinity"}
_NOT_UNITS |= {"sin", "cos", "tan", "cot", "csc", "log", "ln", "exp", "pi", "sqrt"}

_TEXT = r"\\(?:text(?:rm|normal|it|bf)?|mbox|mathrm|mathit|operatorname)\s*\{(?:[^{}]|\{[^{}]*\})*\}"
_POWER = r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)"
_SIGN = r"\\(?:mu|Omega|AA)(?![A-Za-z])\s*|[μΩÅ]"
_WORD = rf"(?<![A-Za-z\\_^])(?:\\mathring\s*\{{?A\}}?|(?:[A-Za-z]|{_SIGN})++)\.?"
_PRIMES = r"\^\s*\{?\s*\\prime\s*(?:\\prime\s*)?\}?|''?|\""
_FACTOR = rf"(?:{_TEXT}|{_WORD})(?:_\s*\{{?\s*\\odot\s*\}}?)?{_POWER}?"
_FRACTION = rf"\\frac\s*\{{\s*{_FACTOR}\s*\}}\s*\{{\s*{_FACTOR}\s*\}}"
_BETWEEN = r"(?:[\s/*()]|\\cdot(?![A-Za-z]))*"
_TAILS = [
    re.compile(rf"(?:(?:{_FRACTION}|{_FACTOR}|{_PRIMES}){_BETWEEN})+$"),
    re.compile(rf"(?:{_TEXT}{_POWER}?{_BETWEEN})+$"),
]
# a value without symbols: "3\times 10^{8}", "x = 2\sqrt{3}"
_NUMERIC = re.compile(r"(?:[^=]*=)*(?:[^A-Za-z\\=]|\\(?:times|cdot|frac|sqrt|pi|approx|sim)(?![A-Za-z])|\\[{},])*")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree\b)\s*(?:\\(?:text|mathrm)\s*\{\s*([CF])\s*\}|([CF])\b)?")
_TEXT_OPENING = re.compile(r"\\(?!mu|Omega|AA|odot|cdot|prime)[a-z]+\s*\{")
_SPELLED = [
    (re.compile(pattern), spelling)
    for pattern, spelling in (
        (r"\\cdot", " "),
        (r"\\mu\s*", "μ"),
        (r"(?:\b([kMGm])[\s}]*)?\\Omega", r"\1Ω"),
        (r"\\AA|\\mathring\s*\{?A", "Å"),
        (r"[\s}]*_\s*\{?\s*\\odot", "⊙"),
        (r"\^?\s*\{?\s*\\prime(?:\s*\\prime)?|''?|\"", " arcsec "),
    )
]


def split_unit(text: str, other: str = "") -> tuple[str, str | None]:
    r"""Return a tidy answer without its trailing unit, and its unit (None without a unit, "?" for an unknown one).

    A letter outside a text command may be a symbol: it is no unit if the `other` answer has it inside its value. The
    degrees of a trigonometric function's argument stay.

    >>> split_unit(r"864 \mbox{ inches}^2"), split_unit("5 apples"), split_unit("5x")
    (('864', 'inch^2'), ('5', '?'), ('5x', None))
    >>> split_unit(r"50 \mu\text{m}"), split_unit("9 m"), split_unit("9 m", r"\frac{18m}{2}")
    (('50', 'μm'), ('9', 'm'), ('9 m', None))
    """
    degrees = 0
    if not _TRIGONOMETRIC.search(text):
        text, degrees = _DEGREES.subn("", text)
    for pattern in _TAILS:
        if match := pattern.search(text):
            value, tail = text[: match.start()], match[0]
            if not re.search(r"\d|\\pi|\\sqrt", re.sub(_TEXT, "", value)):
                continue
            words, plain = _words(tail), _words(re.sub(_TEXT, " ", tail))
            if words and not _NOT_UNITS.intersection(words) and (not plain or _is_unit(words, value, other)):
                return value.strip(), _canonical(words)
    return text, "degree" if degrees else None


def conflict(one: str | None, other: str | None) -> bool:
    """Return whether two units are both known and different."""
    return one is not None and other is not None and "?" not in (one, other) and one != other


def _spelled(text: str) -> str:
    for pattern, spelling in _SPELLED:
        text = pattern.sub(spelling, text)
    return text


def _words(tail: str) -> list[str]:
    r"""Return the words of a unit, each with its power: `\text{kg m/s}^2` gives kg, m, s^2."""
    tail = re.sub(r"[\s}]*\^\s*\{?\s*(-?\d)\s*\}?", r"^\1 ", _TEXT_OPENING.sub("", _spelled(tail)).replace(".", ""))
    return [word for word in re.split(r"[\s{}()/*~\\]+", tail) if re.match(r"[^\W\d_]", word)]


def _is_unit(words: list[str], value: str, other: str) -> bool:
    """Return whether words outside text commands are a unit: known ones, or words of three letters after a space."""
    if not _NUMERIC.fullmatch(value):
        return False
    spaced = value != value.rstrip() or value.endswith("}")
    names = [word.partition("^")[0] for word in words]
    if all(_known(name) or name in _POWERS or name == "per" for name in names):
        # "3m" and "5s" may be products; a unit of two or more letters is not read as one.
        symbols = re.sub(r"\\[A-Za-z]+", "", _spelled(split_unit(other)[0])) if other else ""
        delimited = spaced or len(names[0]) > 1 or not names[0].isascii()
        return delimited and not any(name in symbols for name in names if len(name) == 1)
    return spaced and all(len(name) >= 3 or name in ("per", "of", "in") for name in names)


def _known(word: str) -> str | None:
    return _KNOWN.get(word) or (_KNOWN.get(word.lower()) if len(word) > 2 else None)


def _canonical(words: list[str]) -> str:
    names = [word.partition("^") for word in words if word not in _POWERS]
    if len(names) != 1 or not (name := _known(names[0][0])):
        return "?"
    exponent = next((_POWERS[word] for word in words if word in _POWERS), names[0][2] or "1")
    if exponent.startswith("-"):
        return "?"
    return name if exponent == "1" else f"{name}^{exponent}"
