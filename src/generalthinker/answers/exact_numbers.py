"""Answers that are a single number: they are read as exact fractions, so that rounding cannot change a verdict."""

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_DIGITS = 400
# It applies only between a decimal and a fraction: 0.333333 equals 1/3, and 0.33 does not.
RELATIVE_TOLERANCE = Fraction(1, 1_000_000)

_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
_POWER_OF_TEN = re.compile(
    rf"(?P<mantissa>[-+]?(?:{_DECIMAL}))?\s*(?:(?:\\times|\\cdot|\*|x)\s*)?"
    r"(?:10\s*\^\s*(?:\{\s*(?P<braced>[-+]?\d+)\s*\}|(?P<bare>[-+]?\d+))|[eE](?P<e>[-+]?\d+))"
)
_FRACTION = re.compile(
    rf"(?P<sign>[-+]?)\s*(?:(?P<whole>\d+)\s*)?\\frac\s*\{{\s*(?P<top>[-+]?(?:{_DECIMAL}))\s*\}}\s*"
    rf"\{{\s*(?P<bottom>(?:{_DECIMAL}))\s*\}}"
)
_SLASHED = re.compile(rf"(?P<sign>[-+]?)\s*(?:(?P<whole>\d+)\s+)?(?P<top>{_DECIMAL})\s*/\s*(?P<bottom>{_DECIMAL})")
_REPEATING = re.compile(r"(?P<sign>[-+]?)(?P<start>\d*\.(?P<fixed>\d*))\\(?:overline|bar)\s*\{?(?P<period>\d+)\}?")
_PLAIN = re.compile(rf"[-+]?\s*(?:{_DECIMAL})")


@dataclass(frozen=True, slots=True)
class Number:
    """An exact value; `decimal` if it had a decimal point or a power of ten, `percent` if it had a percent sign."""

    value: Fraction
    decimal: bool
    percent: bool

    def equals(self, other: "Number") -> bool:
        """Return whether the two are equal; "5%" equals both 5 and 0.05, but two percentages must be the same."""
        if self.percent == other.percent:
            return _close(self.value, other.value, self.decimal != other.decimal)
        percentage, plain = (self, other) if self.percent else (other, self)
        mixed = percentage.decimal != plain.decimal
        return any(_close(value, plain.value, mixed) for value in (percentage.value, percentage.value / 100))


def read_number(text: str) -> Number | None:
    r"""Read an answer such as 1,234.5, 3/4, 1\frac{4}{5}, 2\times10^{3} or 0.\overline{3}; None for anything else."""
    stripped = re.sub(r"\s*\\?%$", "", text).strip()
    percent = stripped != text.strip()
    if len(stripped) > MAX_DIGITS:
        return None
    if _PLAIN.fullmatch(stripped):
        return Number(_fraction(stripped), "." in stripped, percent)
    if match := _POWER_OF_TEN.fullmatch(stripped):
        exponent = int(match["braced"] or match["bare"] or match["e"])
        if abs(exponent) > MAX_DIGITS or (match["mantissa"] is None and match["e"]):
            return None
        return Number(_fraction(match["mantissa"] or "1") * Fraction(10) ** exponent, True, percent)
    if match := _FRACTION.fullmatch(stripped) or _SLASHED.fullmatch(stripped):
        bottom = _fraction(match["bottom"])
        if bottom == 0:
            return None
        value = int(match["whole"] or 0) + _fraction(match["top"]) / bottom
        return Number(-value if match["sign"] == "-" else value, False, percent)
    if match := _REPEATING.fullmatch(stripped):
        period = Fraction(int(match["period"]), (10 ** len(match["period"]) - 1) * 10 ** len(match["fixed"]))
        value = Fraction(match["start"] + "0") + period
        return Number(-value if match["sign"] == "-" else value, False, percent)
    return None


def _fraction(text: str) -> Fraction:
    return Fraction(text.replace(",", "").replace(" ", "").rstrip("."))


def _close(one: Fraction, other: Fraction, mixed: bool) -> bool:
    """Return whether two values are equal; `mixed` (a decimal and a fraction) allows the relative tolerance."""
    if one == other:
        return True
    # An integer is compared exactly: 2.9999999 is not 3.
    if not mixed or one.denominator == 1 or other.denominator == 1:
        return False
    return abs(one - other) <= RELATIVE_TOLERANCE * max(abs(one), abs(other))
