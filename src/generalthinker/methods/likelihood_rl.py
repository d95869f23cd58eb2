r"""Likelihood-RL: GRPO whose reward is the reference answer's log-likelihood after the reasoning (equation 6).

    R = log π_θ(a* | x, r) = Σ_k log π_θ(a*_k | x, r, a*_<k), without gradient

x is the prompt, r the response's reasoning, which is everything before its last `\boxed{`, and a* the true answer. The
scored text is x, r, `\boxed{`, a*, `}`. A response that is truncated, that has no closed box or an empty one, or that
has no reasoning before it, gets a floor.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from generalthinker.methods.method import Method
from generalthinker.rewards import Rollout, Scorer, likelihood
from generalthinker.rewards.likelihood import LikelihoodSpan


class LikelihoodRL(Method):
    """GRPO whose reward is the log-likelihood of the reference answer."""

    family: Literal["likelihood_rl"]
    reward: ClassVar[str | None] = "likelihood"

    reward_floor: Annotated[
        float,
        Field(lt=0, description="reward of responses that are truncated, or lack a boxed answer or reasoning"),
    ] = -30.0
    likelihood_span: Annotated[
        LikelihoodSpan,
        Field(
            description="scored text of equation 6: the answer with the box's closing brace, the answer alone, or the "
            "answer with any token that begins with the brace"
        ),
    ] = "answer_and_brace"
    likelihood_per_token: Annotated[
        bool, Field(description="mean over the scored tokens instead of their sum; the floor stays as it is")
    ] = False

    def identity(self) -> dict[str, Any]:
        """Return the settings that determine a result; runs from before a setting was added have its default."""
        settings = super().identity()
        for added in ("likelihood_span", "likelihood_per_token"):
            if settings[added] == type(self).model_fields[added].default:
                del settings[added]
        return settings

    def score(self, rollouts: list[Rollout], scorer: Scorer) -> list[float]:
        """Return the answer's log-likelihood (nats) of each response, equation 6."""
        return likelihood.reward(
            rollouts,
            scorer,
            floor=self.reward_floor,
            span=self.likelihood_span,
            per_token=self.likelihood_per_token,
        )
