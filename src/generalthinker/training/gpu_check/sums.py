"""Made-up questions for a machine that has no training questions yet: additions with worked solutions."""

import random
from typing import Any


def sums(count: int) -> list[dict[str, Any]]:
    """Return `count` made-up questions with worked solutions: additions with five to fifteen terms."""
    rng = random.Random(5)
    rows = []
    for number in range(count):
        terms = [rng.randrange(1, 100) for _ in range(rng.randint(5, 15))]
        steps, total = "", terms[0]
        for term in terms[1:]:
            steps += f"{total} + {term} = {total + term}. "
            total += term
        rows.append(
            {
                "id": str(number),
                "question": f"What is {' + '.join(map(str, terms))}?",
                "answer": str(total),
                "answer_type": "math",
                "options": None,
                "solution": f"{steps}\\boxed{{{total}}}",
            }
        )
    return rows
