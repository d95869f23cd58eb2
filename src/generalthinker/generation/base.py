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
    """One response: text without special tokens, its length in tokens, and whether the token limit ended it."""

    text: str
    tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Decoding:
    """How the responses to one list of prompts are generated: greedily at temperature 0, else sampled with `seed`."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class Engine(Protocol):
    """A loaded model that generates responses."""

    description: dict[str, Any]  # engine, version, dtype, tensor parallel size, seed, device: recorded with the results

    def generate(
        self, prompts: list[list[Prompt]], max_new_tokens: int, decodings: list[Decoding] | None = None
    ) -> Iterator[tuple[int, list[Generated]]]:
        """Yield (place, responses) for every list in `prompts` as soon as its last response is there.

        Each list has its entry in `decodings`; without them all are greedy.
        `place` is the list's place in `prompts`; lists may be finished in any order. `responses` are in the order of
        the list's prompts.
        """
        ...
