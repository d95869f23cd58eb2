"""The interface of the generation engines."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from generalthinker.errors import StageError


class EngineUnavailableError(StageError, RuntimeError):
    """The requested engine cannot run on this machine."""


# The token ids of one prompt, to which the chat template was applied.
Prompt = list[int]


@dataclass(frozen=True, slots=True)
class Generated:
    """One greedy response: text without special tokens, its length in tokens, and whether the token limit ended it."""

    text: str
    tokens: int
    truncated: bool


class Engine(Protocol):
    """A loaded model that generates greedy responses."""

    description: dict[str, Any]  # engine, version, dtype, tensor parallel size, seed, device: recorded with the results

    def generate(self, prompts: list[list[Prompt]], max_new_tokens: int) -> Iterator[tuple[int, list[Generated]]]:
        """Yield (place, responses) for every list in `prompts` as soon as its last response is there.

        `place` is the list's place in `prompts`; lists may be finished in any order. `responses` are in the order of
        the list's prompts.
        """
        ...
