"""Likelihood-RL: GRPO rewarded by the true answer's log-likelihood after the model's own reasoning (equation 6)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from generalthinker.methods.method import Method
from generalthinker.rewards import Rollout, Scorer, likelihood


class LikelihoodRL(Method):
    """GRPO rewarded by the answer's log-likelihood."""

    family: Literal["likelihood_rl"]
    reward: ClassVar[str | None] = "likelihood"

    reward_floor: Annotated[
        float,
        Field(lt=0, description="log-likelihood given to truncated, box-less and reasoning-less responses"),
    ] = -30.0

    def score(self, rollouts: list[Rollout], scorer: Scorer) -> list[float]:
        """Return the answer's log-likelihood (nats) of each response, equation 6."""
        return likelihood.reward(rollouts, scorer, floor=self.reward_floor)
