"""The process in which math-verify runs: one pair per line in, one verdict per line out (see verifier.py)."""

import json
import os
import sys
from contextlib import suppress

MEMORY_LIMIT = 4 * 2**30


def equal(reference: str, given: str) -> bool:
    """Return whether math-verify finds the two LaTeX expressions equal; its own (signal-based) time limit is off."""
    from math_verify import parse, verify

    gold, target = (
        parse(f"${text}$", parsing_timeout=None, fallback_mode="no_fallback") for text in (reference, given)
    )
    if not gold or not target:
        return False
    return bool(verify(gold, target, timeout_seconds=None, allow_set_relation_comp=True, raise_on_error=True))


def main() -> None:
    """Answer pairs until the input ends; the first line out says that everything is loaded."""
    # A verdict is all that may reach the parent, whatever a library prints.
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
