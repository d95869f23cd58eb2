"""Rewards that methods share: one file per reward, which returns one number per rollout.

A reward is a function `reward(rollouts, …) -> list[float]`. A reward that needs the probability of a text also
takes a `Scorer`, which computes it. A method calls its reward in `methods/<name>.py`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from generalthinker.answers import grade
from generalthinker.answers.boxed import last_box
from generalthinker.records import AnswerType

# The policy being trained, the initial policy, and a slowly updated copy of the first (`Method.slow_policy`).
Policy = Literal["current", "initial", "slow"]


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled response, with everything that a reward may use.

    `prompt` is prompt x as text, with the chat template applied, and `question` is the question alone. `tokens` is the
    number of the completion's tokens. `group` is the same for all responses to one prompt; it numbers the step's groups
    over all processes.
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
    """Computes log-probabilities of given texts under a policy, without gradients."""

    @property
    def tokenizer(self) -> Any:
        """The policy's tokenizer."""
        ...

    def span_logps(
        self,
        contexts: list[str],
        spans: list[str],
        *,
        after: list[str] | None = None,
        any_ending: bool = False,
        policy: Policy = "current",
    ) -> list[list[float]]:
        """Return, per pair, the log-probability (nats) of each token that overlaps `span` in `context + span + after`.

        The text is tokenised as a whole, so `after` can change how the end of the span is tokenised; it is not scored.
        With `any_ending`, which excludes `after`, the span's last token has the total probability of all tokens whose
        text begins with its own: the span may then continue within its last token.
        """
        ...

    def ask(self, role: str, prompts: list[str], *, max_new_tokens: int, seconds: float) -> list[str | None]:
        """Return the greedy continuation of each prompt by an additional model; None if not finished in `seconds`."""
        ...

    def model_folder(self, role: str) -> Path:
        """Return the folder of the additional model that has this `role` in `Method.models`."""
        ...


def is_correct(rollout: Rollout) -> bool:
    """Return whether the final boxed answer is correct; a truncated response is wrong."""
    return (
        not rollout.truncated
        and grade(rollout.completion, rollout.answer, rollout.answer_type, rollout.options).correct
    )


def reasoning_prefix(rollout: Rollout) -> str | None:
    r"""Return r, the text before the last `\boxed{`.

    Return None if the response is truncated, or if its box or its prefix is missing or empty.
    """
    box = last_box(rollout.completion)
    if rollout.truncated or box is None or not (box.content or "").strip():
        return None
    prefix = rollout.completion[: box.start]
    return prefix if prefix.strip() else None
