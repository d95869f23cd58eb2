"""The process in which math-verify runs: it reads one pair per line and writes one verdict per line (see verifier.py).

Python starts this file as a script and searches its folder first: no file here may be named like a standard module.
"""

import json
import os
import sys
from contextlib import suppress

MEMORY_LIMIT = 4 * 2**30
TOLERANCE = 1e-6


def equal(reference: str, given: str) -> bool:
    """Return whether math-verify finds the two LaTeX expressions equal; its own time limit is turned off."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse, verify
    from sympy import Expr

    # units.py has removed the unit. If math-verify removed units too, it would drop the c of (1/2)c.
    plain = LatexExtractionConfig(normalization_config=NormalizationConfig(malformed_operators=True, nits=True))
    gold, target = (
        parse(f"${text}$", [plain], parsing_timeout=None, fallback_mode="no_fallback") for text in (reference, given)
    )
    if not gold or not target:
        return False
    one, other = gold[0], target[0]
    if isinstance(one, Expr) and isinstance(other, Expr) and one.is_number and other.is_number:
        # math-verify compares six decimals, and would find 2^-40 and 2^-41 equal.
        difference = abs(one.evalf() - other.evalf())
        if difference.is_comparable and difference > TOLERANCE * abs(one.evalf()):
            return False
    return bool(verify(gold, target, timeout_seconds=None, allow_set_relation_comp=True, raise_on_error=True))


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
