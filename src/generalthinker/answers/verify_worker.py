"""The process in which math-verify runs: it reads one pair per line and writes one verdict per line (see verifier.py).

math-verify's own parser loses the case of symbols, so this file calls the parser below it, latex2sympy2_extended, and
gives math-verify the expressions. docs/protocol.md lists what the parser reads wrongly, with a case for each.

Python starts this file as a script and searches its folder first: no file here may be named like a standard module.
"""

import json
import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sympy import Symbol

MEMORY_LIMIT = 4 * 2**30
TOLERANCE = 1e-6
EXACT = 1e-12

# Names that the parser does not read as symbols: I is its imaginary unit, E takes no index, γ and Γ are Euler's number.
_NAMES = re.compile(r"\\text\{[^{}]*\}|\\(?P<gamma>gamma|Gamma(?!\s*\())(?![A-Za-z])|\\[A-Za-z]+|(?P<letter>[EI])")
# 2(3) and (2)(3) are products; the parser reads them as 2 + 3, as in a mixed number.
_PRODUCT = re.compile(r"((?<![\w.^])\d+(?:\.\d+)?|\))\s*(?=\()")


def read(text: str) -> Any:
    """Return a LaTeX expression as a SymPy object; i is the imaginary unit. Raises an error for what is no expression.

    The name of a symbol has "^" after each letter that was a capital: math-verify compares names without case.
    """
    from latex2sympy2_extended import NormalizationConfig, latex2sympy
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig
    from latex2sympy2_extended.math_normalization import normalize_latex
    from sympy import I, Symbol

    text = _PRODUCT.sub(r"\1\\cdot ", _NAMES.sub(_symbol, text))
    text = re.sub(r"_\s*\{?\s*\\odot\s*\}?", r"_{sun}", text)
    # units.py has removed the unit. If the parser removed units too, it would drop the c of (1/2)c.
    text = normalize_latex(text, NormalizationConfig(malformed_operators=True))
    parsed = latex2sympy(
        text,
        is_real=True,
        convert_degrees=True,
        normalization_config=None,
        conversion_config=ConversionConfig(lowercase_symbols=False),
    )

    def value(symbol: "Symbol") -> Any:
        return I if symbol.name == "i" else Symbol(re.sub("([A-Z])", r"\1^", symbol.name).lower(), real=True)

    return _replaced(parsed, value)


def _symbol(match: re.Match[str]) -> str:
    if match["gamma"]:
        return rf"\text{{x{match['gamma']}}}"
    return rf"\text{{{match['letter']}}}" if match["letter"] else match[0]


def _replaced(parsed: Any, value: Any) -> Any:
    """Return `parsed` with each symbol replaced by its value; the order of a chain a < b < c is kept."""
    from latex2sympy2_extended.logic import And
    from sympy import Symbol
    from sympy.core.relational import Relational

    if isinstance(parsed, And):
        return And(*(_replaced(part, value) for part in parsed._unsorted_args))
    if isinstance(parsed, Relational):
        return parsed.func(_replaced(parsed.lhs, value), _replaced(parsed.rhs, value), evaluate=False)
    return parsed.xreplace({symbol: value(symbol) for symbol in parsed.atoms(Symbol)})


def equal(reference: str, given: str) -> bool:
    """Return whether math-verify finds the two LaTeX expressions equal; its own time limit is turned off."""
    from math_verify import verify
    from sympy import Expr, Mod, ceiling, floor

    try:
        gold, target = read(reference), read(given)
    except Exception:  # the parser raises its errors as Exception
        return False
    if isinstance(gold, Expr) and isinstance(target, Expr):
        error = _relative_error(gold, target)
        if error is not None and error > TOLERANCE:
            return False
        # ⌊√(n - 1)⌋ and ⌊√(n + 1)⌋ are equal at most points
        if error is not None and error < EXACT and gold.free_symbols and not gold.has(floor, ceiling, Mod):
            return True
    return bool(verify(gold, target, timeout_seconds=None, allow_set_relation_comp=True, raise_on_error=True))


def _relative_error(one: Any, other: Any) -> float | None:
    """Return the relative difference of two expressions where each symbol has some positive number for its value.

    The result is the larger one of two such points, and None if an expression has no value there. math-verify compares
    six decimals, and would find 2^-40 and 2^-41 equal; its simplification is slow and misses some equal expressions.
    """
    from sympy import Integral, Limit, Product, Rational, Sum, Symbol, prime
    from sympy.core.function import AppliedUndef

    unknown = sorted(one.atoms(Symbol, AppliedUndef) | other.atoms(Symbol, AppliedUndef), key=str)
    unknown.sort(key=lambda part: isinstance(part, Symbol))  # functions first: their arguments are symbols
    if unknown and any(expression.has(Sum, Product, Integral, Limit) for expression in (one, other)):
        return None  # a sum from 1 to 1.1 has no value
    errors = []
    for scale in (Rational(1, 10), Rational(7, 4)) if unknown else (0,):
        point = [(part, scale * prime(place + 5)) for place, part in enumerate(unknown)]
        unknown.reverse()
        first, second = one.subs(point).evalf(), other.subs(point).evalf()
        difference = abs(first - second)
        if not difference.is_comparable:
            return None
        errors.append(float(difference / abs(first)) if first else float(difference))
    return max(errors)


def main() -> None:
    """Compare pairs until the input ends; the first line written says that everything is loaded."""
    # The parent reads verdicts only, so that whatever a library prints goes to the standard error.
    verdicts = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    equal("1", "2")
    print(json.dumps("ready"), file=verdicts)
    for line in sys.stdin:
        try:
            verdict: bool | str = equal(*json.loads(line))
        except Exception as error:
            verdict = type(error).__name__
        print(json.dumps(verdict), file=verdicts)


if __name__ == "__main__":
    main()
