"""Rewards: one file each, all of the same shape, found by the name that `methods.<name>.reward` gives.

A reward module has one function

    reward(rollouts: list[Rollout], scorer: Scorer, *, floor: float) -> list[float]

lists in, lists out, one number per rollout. `scorer` teacher-forces text through the current policy, so that every
reward which looks at the reference answer's probability shares one scoring pass.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from generalthinker.records import AnswerType


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled response with what it is judged by; `prompt` is prompt x as text, chat template applied."""

    prompt: str
    completion: str
    truncated: bool
    answer: str
    answer_type: AnswerType
    options: list[str] | None


class Scorer(Protocol):
    """The current policy as a reader of given text."""

    def span_logps(self, contexts: list[str], spans: list[str]) -> list[list[float]]:
        """Return, per pair, the log-probability (nats) of each token that overlaps `span` in `context + span`."""
        ...


Reward = Callable[..., list[float]]


def get(name: str) -> Reward:
    """Return the reward called `name`."""
    return importlib.import_module(f"{__name__}.{name}").reward


def names() -> list[str]:
    """Return the rewards there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
