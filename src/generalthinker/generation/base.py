"""The interface of the generation engines."""

from dataclasses import dataclass
from typing import Any, Protocol

from generalthinker.errors import StageError


class EngineUnavailableError(StageError, RuntimeError):
    """The requested engine cannot run on this machine."""


@dataclass(frozen=True, slots=True)
class Generated:
    """One greedy response: text without special tokens, its length in tokens, and whether the token limit ended it."""

    text: str
    tokens: int
    truncated: bool


class Engine(Protocol):
    """A loaded model that generates greedy responses."""

    description: dict[str, Any]  # engine, version, dtype, tensor parallel size, seed, device: recorded with the results

    def generate(self, prompts: list[str], max_new_tokens: int) -> list[Generated]:
        """Return one response per prompt (chat template already applied), in order."""
        ...
