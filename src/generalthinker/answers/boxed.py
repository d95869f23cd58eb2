r"""Finding the final answer: the last `\boxed{…}` of a response."""

import re
from dataclasses import dataclass

BOX = r"\boxed{"
# A backslash is read together with the next character: the brace of `\{` is text, the brace after `\\` is not.
_BRACE_OR_ESCAPE = re.compile(r"\\.|[{}]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Box:
    r"""The last `\boxed{` of a text: `start` is the index of its backslash, `content` is None if it is not closed."""

    start: int
    content: str | None


def last_box(text: str) -> Box | None:
    r"""Return the last `\boxed{` of `text`, or None if there is none; the time is linear in the length of `text`.

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
    for match in _BRACE_OR_ESCAPE.finditer(text, opening):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return Box(start, text[opening : match.start()])
    return Box(start, None)
