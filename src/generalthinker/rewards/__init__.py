"""Rewards that methods share: one file each, lists in, lists out, one number per rollout.

A reward is a function `reward(rollouts, …) -> list[float]`. One that looks at the probability of text also takes a
`Scorer`, so that all such rewards use the same scoring pass. A method names its reward in code: `methods/<name>.py`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from generalthinker.answers import grade
from generalthinker.answers.boxed import last_box
from generalthinker.records import AnswerType

# The policy being trained, the one it started from, and one that follows it slowly (`Method.slow_policy`).
Policy = Literal["current", "initial", "slow"]


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled response with what it is judged by.

    `prompt` is prompt x as text, chat template applied, and `question` the question alone. `tokens` counts the
    completion's tokens. `group` numbers the step's groups over all processes: responses to one prompt share it.
    """

    prompt: str
    completion: str
    truncated: bool
    question: str
    answer: str
    answer_type: AnswerType
    options: list[str] | None
    tokens: int
    group: int


class Scorer(Protocol):
    """Reads given text under a policy, without gradient."""

    @property
    def tokenizer(self) -> Any:
        """The policy's tokenizer."""
        ...

    def span_logps(
        self, contexts: list[str], spans: list[str], *, after: list[str] | None = None, policy: Policy = "current"
    ) -> list[list[float]]:
        """Return, per pair, the log-probability (nats) of each token that overlaps `span` in `context + span + after`.

        The whole text is tokenised at once, so that `after` decides how the span's end is tokenised; it is not scored.
        """
        ...

    def model_folder(self, role: str) -> Path:
        """Return the folder of the further model that the method asked for as `role` (`Method.models`)."""
        ...


def is_correct(rollout: Rollout) -> bool:
    """Return whether the final boxed answer is correct; a truncated response is wrong."""
    return (
        not rollout.truncated
        and grade(rollout.completion, rollout.answer, rollout.answer_type, rollout.options).correct
    )


def reasoning_prefix(rollout: Rollout) -> str | None:
    r"""Return r, the text before the last `\boxed{`; None if truncated, or if box or prefix is missing or empty."""
    box = last_box(rollout.completion)
    if rollout.truncated or box is None or not (box.content or "").strip():
        return None
    prefix = rollout.completion[: box.start]
    return prefix if prefix.strip() else None
