"""Proportions with their confidence intervals, and percentages rounded as in printed tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import sqrt

Z95 = 1.959963984540054  # two-sided 95 % quantile of the standard normal
Z80 = 0.8416212335729143  # one-sided 80 % quantile
DISCORDANT = 0.2  # assumed share of questions that one of two runs answers correctly and the other does not
PLACES = 2


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval, in the unit of the value it belongs to."""

    low: float
    high: float


def wilson(proportion: float, total: int) -> Interval:
    """Return Wilson's 95 % score interval of a `proportion` (0 to 1) seen in `total` trials.

    Raises ValueError if `total` is less than 1 or `proportion` is not between 0 and 1.
    """
    if total < 1 or not 0 <= proportion <= 1:
        raise ValueError(f"expected a proportion from 0 to 1 in at least one trial, found {proportion} in {total}")
    z2 = Z95 * Z95
    centre = proportion + z2 / (2 * total)
    spread = Z95 * sqrt(proportion * (1 - proportion) / total + z2 / (4 * total * total))
    # Floating-point rounding must not exclude the observed proportion from its interval.
    low = min((centre - spread) / (1 + z2 / total), proportion)
    high = max((centre + spread) / (1 + z2 / total), proportion)
    return Interval(max(low, 0.0), min(high, 1.0))


def interval_of_mean(proportions: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Return the 95 % interval of the unweighted mean of independent `proportions` from the interval of each.

    This is Zou and Donner's method of variance estimates recovery (2008); it needs no normal approximation near 0 or 1.
    Benchmarks that share questions (GPQA-Diamond is part of GPQA, MMLU-Redux of MMLU) are not independent, so the
    interval of their mean is a little too narrow.
    """
    count = len(proportions)
    mean = sum(proportions) / count
    below = sqrt(sum((p - i.low) ** 2 for p, i in zip(proportions, intervals, strict=True))) / count
    above = sqrt(sum((i.high - p) ** 2 for p, i in zip(proportions, intervals, strict=True))) / count
    return Interval(max(mean - below, 0.0), min(mean + above, 1.0))


def interval_of_difference(first: float, of_first: Interval, second: float, of_second: Interval) -> Interval:
    """Return the 95 % interval of `first` - `second`, two independent proportions, from the interval of each.

    The method is Zou and Donner's (2008), as in `interval_of_mean`. From Wilson's intervals it is Newcombe's hybrid
    score interval (1998).
    """
    difference = first - second
    below = sqrt((first - of_first.low) ** 2 + (of_second.high - second) ** 2)
    above = sqrt((of_first.high - first) ** 2 + (second - of_second.low) ** 2)
    return Interval(difference - below, difference + above)


def minimum_detectable(questions: Sequence[int]) -> float:
    """Return the smallest true difference of two runs that 80 % of such comparisons would find at the 5 % level.

    The runs answer the same `questions`: a count for each benchmark of an unweighted mean. It is assumed that
    DISCORDANT of them are answered correctly by one run alone. One comparison, one training seed, unrelated questions.
    """
    return (Z95 + Z80) * sqrt(sum(DISCORDANT / count for count in questions)) / len(questions)


def sample_deviation(values: Sequence[Fraction]) -> float | None:
    """Return the standard deviation of `values` (n − 1 in the denominator), or None for fewer than two."""
    if len(values) < 2:
        return None
    mean = sum(values, Fraction()) / len(values)
    return sqrt(sum(((value - mean) ** 2 for value in values), Fraction()) / (len(values) - 1))


def percent(proportion: Fraction | float) -> str:
    """Return a proportion as percent with two decimals, rounding halves away from zero as printed tables do.

    >>> percent(Fraction(1, 32)), percent(Fraction(-1, 32))
    ('3.13', '-3.13')
    """
    scaled = Fraction(proportion) * 100 * 10**PLACES
    whole = int(abs(scaled) + Fraction(1, 2))
    return str(Decimal(whole if scaled >= 0 else -whole).scaleb(-PLACES))
