"""Binary-RL: GRPO with a reward of 1 for a correct final answer and 0 otherwise (the paper's appendix C).

The grader compares the content of the response's last box with the true answer. A truncated response is wrong.
"""

from typing import ClassVar, Literal

from generalthinker.methods.method import Method
from generalthinker.rewards import Rollout, Scorer, binary


class BinaryRL(Method):
    """GRPO whose reward is the grader's verdict."""

    family: Literal["binary_rl"]
    reward: ClassVar[str | None] = "binary"

    @property
    def needs(self) -> dict[str, str]:
        """The grader."""
        return super().needs | {"verifier": "rules"}

    def score(self, rollouts: list[Rollout], scorer: Scorer) -> list[float]:
        """Return 1.0 for each correct response, else 0.0."""
        return binary.reward(rollouts)
