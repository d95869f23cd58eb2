"""Likelihood-RL: GRPO whose reward is the reference answer's log-likelihood after the reasoning (equation 6)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from generalthinker.methods.method import Method
from generalthinker.rewards import Rollout, Scorer, likelihood


class LikelihoodRL(Method):
    """GRPO whose reward is the log-likelihood of the reference answer."""

    family: Literal["likelihood_rl"]
    reward: ClassVar[str | None] = "likelihood"

    reward_floor: Annotated[
        float,
        Field(lt=0, description="reward of responses that are truncated, or lack a boxed answer or reasoning"),
    ] = -30.0

    def score(self, rollouts: list[Rollout], scorer: Scorer) -> list[float]:
        """Return the answer's log-likelihood (nats) of each response, equation 6."""
        return likelihood.reward(rollouts, scorer, floor=self.reward_floor)
