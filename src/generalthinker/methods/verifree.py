r"""VeriFree (arXiv 2505.21493): rewarded by the answer's probability, which is also trained on directly.

R = π(`\boxed{a*}` | x, r); A = R minus the mean reward of the group's other responses, on the reasoning alone; loss −A
log π(r | x) − R log π(`\boxed{a*}` | x, r).

The released code sums over tokens and means over responses (own form), the paper divides by a constant length. The
matched form divides both terms by the response's number of tokens, as the experiment's loss does. Choices made here:
the box with its braces is the scored span, where the authors score their closing tag and answer tags; text is tokenised
as a whole and not in two halves. A response without a closed box has R = 0 and is trained on from its first to its last
token. The authors' weighting of the answer term is right for one response per device only; here each has its own R.
"""

import math
from typing import Any, ClassVar, Literal

from generalthinker.answers.boxed import BOX
from generalthinker.methods.method import AnswerLoss, Responses, ScoredRollout, Step, TokenCredit
from generalthinker.methods.rival import Rival, leave_one_out, reasoning_only
from generalthinker.rewards import Rollout, Scorer, likelihood, reasoning_prefix


class VeriFree(Rival):
    """The answer's probability as reward, with leave-one-out advantages, and a loss on the answer weighted by it."""

    family: Literal["verifree"]
    reward: ClassVar[str | None] = "answer probability"
    OWN_TRAINING: ClassVar[dict[str, Any]] = {
        "kl_coef": 0.0,
        "temperature": 1.0,
        "mask_truncated": False,
        "loss_type": "luspo",
    }

    def score(self, rollouts: list[Rollout], scorer: Scorer) -> list[float]:
        """Return the probability of the boxed answer after each response's reasoning, 0 where there is none."""
        scored = likelihood.answer_logps(rollouts, scorer, span="box")
        return [0.0 if logps is None else math.exp(sum(logps)) for logps in scored]

    def advantages(self, step: Step, rewards: list[list[float]]) -> list[list[float | None]]:
        """Return each reward minus the mean of the group's others."""
        return [[*leave_one_out(group)] for group in rewards]

    def answer_losses(self, step: Step, rewards: list[list[float]]) -> list[list[AnswerLoss | None]]:
        """Return the negative log-likelihood of the boxed answer, weighted by the reward."""
        return [
            [self._answer_loss(response, reward) for response, reward in zip(group, values, strict=True)]
            for group, values in zip(step.groups, rewards, strict=True)
        ]

    def _answer_loss(self, response: ScoredRollout, reward: float) -> AnswerLoss | None:
        rollout, prefix = response.rollout, reasoning_prefix(response.rollout)
        if prefix is None:
            return None
        weight = reward if self.own else reward / rollout.tokens
        return AnswerLoss(rollout.prompt + prefix, f"{BOX}{rollout.answer}}}", weight)

    def token_credit(self, responses: Responses) -> TokenCredit:
        """Return advantages that leave the policy's own answer out of the loss."""
        return reasoning_only(responses)
