r"""LaTRO (arXiv 2411.04282): rewarded by the log-likelihood of the answer and the end of the turn after the reasoning.

R = log π(`\boxed{a*}` + end of turn | x, z); advantage: R minus the mean of the group's others (RLOO), on z alone. z
ends at the box, or with the response if there is none; a response that the token limit cuts before a box has twice the
mean R of the step's other responses.

From the released code, whose answer phrase "The answer is a*." is the box here. Own form: R minus 0.05 log(π /
π_initial) of z instead of a KL term, and token sums instead of means. The paper adds the answer's log-likelihood to the
loss with weight 1 (`answer_loss_weight: 1.0`), the code's weight is 0. The authors sample 16 responses per prompt.
"""

import statistics
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from generalthinker.answers.boxed import BOX, last_box
from generalthinker.methods.method import AnswerLoss, Responses, ScoredRollout, Step, TokenCredit
from generalthinker.methods.rival import Rival, leave_one_out, reasoning_only
from generalthinker.rewards import Rollout, Scorer


class Latent(NamedTuple):
    """What is scored of one response: `answer` (nats) is None if unfinished, `drift` is log π/π_initial of z."""

    answer: float | None
    drift: float
    end: str


class LaTRO(Rival):
    """The answer's log-likelihood as reward, with leave-one-out advantages on the reasoning."""

    family: Literal["latro"]
    reward: ClassVar[str | None] = "answer log-likelihood, end of turn included"
    OWN_TRAINING: ClassVar[dict[str, Any]] = {
        "kl_coef": 0.0,
        "temperature": 1.0,
        "mask_truncated": False,
        "loss_type": "luspo",
    }

    kl_in_reward: Annotated[
        float,
        Field(ge=0, description="weight of log π/π_initial of the reasoning in the reward; only the own form has it"),
    ] = 0.05
    answer_loss_weight: Annotated[
        float, Field(ge=0, description="weight of the answer's negative log-likelihood in the loss; the paper has 1")
    ] = 0.0

    def identity(self) -> dict[str, Any]:
        """Return the settings that determine a result; `kl_in_reward` has no effect in the matched form."""
        settings = super().identity()
        if not self.own:
            del settings["kl_in_reward"]
        return settings

    @property
    def needs(self) -> dict[str, str]:
        """The initial policy, if the reward has a KL term."""
        return super().needs | ({"initial policy": "yes"} if self.own and self.kl_in_reward else {})

    def score(self, rollouts: list[Rollout], scorer: Scorer) -> list[Latent]:
        """Return the answer's log-likelihood after each response's reasoning, and that reasoning's drift."""
        end = scorer.tokenizer.eos_token
        reasoning = [reasoning_of(rollout) for rollout in rollouts]
        finished = [i for i, text in enumerate(reasoning) if text is not None]
        contexts = [f"{rollouts[i].prompt}{reasoning[i]}" for i in finished]
        logps = scorer.span_logps(contexts, [f"{BOX}{rollouts[i].answer}}}{end}" for i in finished])
        answers = dict(zip(finished, map(sum, logps), strict=True))
        drifts = self._drifts(rollouts, reasoning, scorer)
        return [Latent(answers.get(i), drift, end) for i, drift in enumerate(drifts)]

    def rewards(self, step: Step) -> list[list[float]]:
        """Return the rewards; unfinished responses have twice the mean of all finished ones of the step."""
        finished = [one.score.answer for group in step.groups for one in group if one.score.answer is not None]
        unfinished = 2 * statistics.fmean(finished) if finished else 0.0
        weight = self.kl_in_reward if self.own else 0.0
        return [
            [(unfinished if one.score.answer is None else one.score.answer) - weight * one.score.drift for one in group]
            for group in step.groups
        ]

    def advantages(self, step: Step, rewards: list[list[float]]) -> list[list[float | None]]:
        """Return each reward minus the mean of the group's others."""
        return [[*leave_one_out(group)] for group in rewards]

    def answer_losses(self, step: Step, rewards: list[list[float]]) -> list[list[AnswerLoss | None]] | None:
        """Return the answers' negative log-likelihoods if they have a weight."""
        if not self.answer_loss_weight:
            return None
        return [[self._answer_loss(response) for response in group] for group in step.groups]

    def token_credit(self, responses: Responses) -> TokenCredit:
        """Return advantages that leave the policy's own answer out of the loss."""
        return reasoning_only(responses)

    def _answer_loss(self, response: ScoredRollout) -> AnswerLoss | None:
        rollout, reasoning = response.rollout, reasoning_of(response.rollout)
        if reasoning is None:
            return None
        weight = self.answer_loss_weight / (1 if self.own else rollout.tokens)
        return AnswerLoss(rollout.prompt + reasoning, f"{BOX}{rollout.answer}}}{response.score.end}", weight)

    def _drifts(self, rollouts: list[Rollout], reasoning: list[str | None], scorer: Scorer) -> list[float]:
        """Return log π/π_initial (nats) of each reasoning; all 0 if the reward does not need them."""
        texts = [
            rollout.completion if text is None else text for rollout, text in zip(rollouts, reasoning, strict=True)
        ]
        written = [i for i, text in enumerate(texts) if text] if self.own and self.kl_in_reward else []
        prompts, spans = [rollouts[i].prompt for i in written], [texts[i] for i in written]
        now, before = (scorer.span_logps(prompts, spans, policy=policy) for policy in ("current", "initial"))
        drifts = [0.0] * len(rollouts)
        for i, new, old in zip(written, now, before, strict=True):
            drifts[i] = sum(new) - sum(old)
        return drifts


def reasoning_of(rollout: Rollout) -> str | None:
    """Return z, the text before the last box, or all of it if there is none; None if the limit cut it before a box."""
    box = last_box(rollout.completion)
    if box is not None:
        return rollout.completion[: box.start]
    return None if rollout.truncated else rollout.completion
