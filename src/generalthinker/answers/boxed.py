r"""Finding the final answer: the last `\boxed{…}` of a response."""

import re
from dataclasses import dataclass

BOX = r"\boxed{"
# An escaped character is one unit, so `\{` and `\}` are text and the brace after `\\` is a brace.
_UNIT = re.compile(r"\\.|[{}]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Box:
    r"""The last `\boxed{` of a text: `start` indexes its backslash, `content` is None when its brace never closes."""

    start: int
    content: str | None


def last_box(text: str) -> Box | None:
    r"""Return the last `\boxed{` of `text`, None where there is none; linear in the length of `text`.

    >>> last_box(r"first \boxed{1}, then \boxed{\frac{1}{2}}.")
    Box(start=22, content='\\frac{1}{2}')
    >>> last_box(r"cut off at \boxed{\frac{1}{2")
    Box(start=11, content=None)
    """
    start = text.rfind(BOX)
    if start < 0:
        return None
    opening = start + len(BOX)
    depth = 1
    for unit in _UNIT.finditer(text, opening):
        depth += {"{": 1, "}": -1}.get(unit.group(), 0)
        if depth == 0:
            return Box(start, text[opening : unit.start()])
    return Box(start, None)
