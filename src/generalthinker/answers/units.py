"""Units after a value: they are removed before values are compared, and two different known units make a conflict."""

import re

_NAMES = {
    "degree": "degree degrees deg",
    "percent": "percent",
    "dollar": "dollar dollars usd",
    "cent": "cent cents",
    "mm": "mm millimeter millimeters millimetre millimetres",
    "cm": "cm centimeter centimeters centimetre centimetres",
    "m": "m meter meters metre metres",
    "km": "km kilometer kilometers kilometre kilometres",
    "inch": "in inch inches",
    "foot": "ft foot feet",
    "yard": "yd yard yards",
    "mile": "mi mile miles",
    "second": "s sec second seconds",
    "minute": "min minute minutes",
    "hour": "h hr hrs hour hours",
    "day": "day days",
    "week": "week weeks",
    "month": "month months",
    "year": "year years",
    "g": "g gram grams",
    "kg": "kg kilogram kilograms",
    "pound": "lb lbs pound pounds",
    "ounce": "oz ounce ounces",
    "litre": "l liter liters litre litres",
    "mph": "mph",
    "kph": "kph",
    "unit": "unit units",
    "radian": "rad radian radians",
    "am": "am",
    "pm": "pm",
}
_CANONICAL = {alias: name for name, aliases in _NAMES.items() for alias in aliases.split()}
_POWERS = {"square": "2", "sq": "2", "squared": "2", "cubic": "3", "cubed": "3"}
_NOT_UNITS = {"and", "or", "not", "more", "less", "least", "most", "than", "mod", "infinity"}
_NOT_UNITS |= {"sin", "cos", "tan", "cot", "csc", "log", "ln", "exp", "pi", "sqrt"}

_TEXT = r"\\(?:text(?:rm|normal|it|bf)?|mbox|mathrm|mathit|operatorname)\s*\{(?:[^{}]|\{[^{}]*\})*\}"
_POWER = r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)"
_TEXT_UNIT = rf"{_TEXT}{_POWER}?"
_TEXT_TAIL = re.compile(
    rf"(?:(?:{_TEXT_UNIT}|\\frac\s*\{{\s*{_TEXT_UNIT}\s*\}}\s*\{{\s*{_TEXT_UNIT}\s*\}})(?:[\s/*()]|\\cdot(?![A-Za-z]))*)+$"
)
_NUMBER = r"[-+]?(?:\d[\d,]*(?:\.\d*)?|\.\d+)(?:\s*/\s*\d+)?|[-+]?\d*\s*\\frac\{-?\d+\}\{\d+\}"
_PLAIN_UNIT = re.compile(
    rf"(?P<value>(?:[^=]*=\s*)?(?:{_NUMBER}))(?P<space>\s*)(?P<unit>[A-Za-z][A-Za-z.\s/]*{_POWER}?)"
)
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree\b)\s*(?:\\(?:text|mathrm)\s*\{\s*([CF])\s*\}|([CF])\b)?")
_TEXT_OPENING = re.compile(r"\\[a-z]+\s*\{")


def split_unit(text: str) -> tuple[str, str | None]:
    r"""Return a tidy answer without its trailing unit, and its unit (None without a unit, "?" for an unknown one).

    >>> split_unit(r"864 \mbox{ inches}^2"), split_unit("5 apples"), split_unit("5x")
    (('864', 'inch^2'), ('5', '?'), ('5x', None))
    """
    text, degrees = _DEGREES.subn("", text)
    if (match := _TEXT_TAIL.search(text)) and re.search(r"\d", re.sub(_TEXT, "", text[: match.start()])):
        unit = _TEXT_OPENING.sub("", match[0]).replace("}", " ").replace("{", " ")
        if re.search("[A-Za-z]", unit) and not _NOT_UNITS.intersection(unit.split()):
            return text[: match.start()].strip(), _canonical(unit)
    if (match := _PLAIN_UNIT.fullmatch(text)) and _is_unit(match["unit"], spaced=bool(match["space"])):
        return match["value"].strip(), _canonical(match["unit"])
    return text, "degree" if degrees else None


def conflict(one: str | None, other: str | None) -> bool:
    """Return whether two units are both known and different."""
    return one is not None and other is not None and "?" not in (one, other) and one != other


def _is_unit(text: str, *, spaced: bool) -> bool:
    words = re.sub(_POWER, "", text).lower().replace("/", " ").replace(".", "").split()
    if not words or _NOT_UNITS.intersection(words):
        return False
    if all(word in _CANONICAL or word in _POWERS or word == "per" for word in words):
        # "3m" and "5s" may be products; a unit of two or more letters is not read as one.
        return spaced or len(words[0]) > 1
    return spaced and all(len(word) >= 3 or word in ("per", "of", "in") for word in words)


def _canonical(text: str) -> str:
    power = re.search(r"\^\s*(-?\d)", text)
    words = re.sub(_POWER, "", text).lower().replace(".", "").split()
    exponent = next((_POWERS[word] for word in words if word in _POWERS), power[1] if power else "1")
    names = [word for word in words if word not in _POWERS]
    if len(names) != 1 or names[0] not in _CANONICAL:
        return "?"
    name = _CANONICAL[names[0]]
    return name if exponent == "1" else f"{name}^{exponent}"
