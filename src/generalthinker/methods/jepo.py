r"""JEPO (arXiv 2503.19618): a lower bound of the answer's log-likelihood that is tighter the larger the group is.

With P_i = π(a* | x, r_i), the group's bound is log mean_j P_j. Each response's advantage is what it adds to the bound,
log mean_j P_j − log mean_{j≠i} P_j, divided by the group's standard deviation and clipped to ±1. The loss also has −β
log mean_j P_j, whose gradient is that of the answers' log-likelihoods, weighted by P_i / Σ_j P_j.

From the paper; no code is published. Choices made here: P_i is over the tokens of Likelihood-RL's reward; the bound is
over responses with a closed box, and so is the sample standard deviation; the format's reward (−10 for every other
response) is centred, scaled and clipped apart and added. The term with β is a mean over groups, not divided by lengths.
Own form: KL 0.001 and temperature 1, the paper's values here; the authors sample 4 per prompt.
"""

import math
import statistics
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from generalthinker.answers.boxed import BOX
from generalthinker.methods.method import AnswerLoss, Knob, ScoredRollout, Step
from generalthinker.methods.rival import Rival, z_scores
from generalthinker.rewards import Rollout, Scorer, likelihood, reasoning_prefix

LEAST_DEVIATION = 1e-6  # of contributions to the bound (nats), below which they are rounding errors


class JEPO(Rival):
    """What each response adds to a lower bound of the answer's log-likelihood, and the bound itself as a loss."""

    family: Literal["jepo"]
    reward: ClassVar[str | None] = "answer log-likelihood, format"
    OWN_TRAINING: ClassVar[dict[str, Any]] = {"kl_coef": 0.001, "temperature": 1.0}

    support_weight: Annotated[
        float | None,
        Field(
            gt=0,
            description="β, weight of the bound in the loss; the authors use up to 0.01 for short answers and 1 "
            "for long ones; null: none",
        ),
        Knob("support", "β", "weight β of JEPO's bound"),
    ] = 0.01
    format_penalty: Annotated[
        float, Field(lt=0, description="format reward of a response without a closed box")
    ] = -10.0

    def score(self, rollouts: list[Rollout], scorer: Scorer) -> list[float | None]:
        """Return the answer's log-likelihood (nats) of each response, None for one without a closed box."""
        scored = likelihood.answer_logps(rollouts, scorer)
        return [None if logps is None else sum(logps) for logps in scored]

    def rewards(self, step: Step) -> list[list[float]]:
        """Return the log-likelihoods, and the format's penalty; the advantages do not come from their sum."""
        return [[self.format_penalty if one.score is None else one.score for one in group] for group in step.groups]

    def advantages(self, step: Step, rewards: list[list[float]]) -> list[list[float | None]]:
        """Return the clipped contributions to the bound plus the clipped z-scores of the format's reward."""
        advantages = []
        for group in step.groups:
            usable = [place for place, one in enumerate(group) if one.score is not None]
            added = contributions([group[place].score for place in usable])
            bound = dict(zip(usable, map(clip, scaled(added)), strict=True))
            kept = z_scores([0.0 if place in bound else self.format_penalty for place in range(len(group))])
            advantages.append([bound.get(place, 0.0) + clip(value) for place, value in enumerate(kept)])
        return advantages  # type: ignore[return-value]

    def answer_losses(self, step: Step, rewards: list[list[float]]) -> list[list[AnswerLoss | None]] | None:
        """Return the terms whose gradient is that of −β log mean_j P_j, averaged over groups."""
        if self.support_weight is None:
            return None
        losses = []
        for group in step.groups:
            usable = [one.score for one in group if one.score is not None]
            bound = log_mean_exp(usable)
            losses.append([self._support(one, bound, len(group), len(usable)) for one in group])
        return losses

    def _support(self, response: ScoredRollout, bound: float, size: int, usable: int) -> AnswerLoss | None:
        prefix = reasoning_prefix(response.rollout)
        if prefix is None:
            return None
        assert self.support_weight is not None
        share = math.exp(response.score - bound) / usable
        context = f"{response.rollout.prompt}{prefix}{BOX}"
        return AnswerLoss(context, f"{response.rollout.answer}}}", self.support_weight * size * share)


def log_mean_exp(values: list[float]) -> float:
    """Return log mean exp of the values, -inf if there is none."""
    if not values:
        return -math.inf
    highest = max(values)
    return highest + math.log(statistics.fmean(math.exp(value - highest) for value in values))


def contributions(logps: list[float]) -> list[float]:
    """Return what each response adds to the bound: log mean_j P_j − log mean_{j≠i} P_j; 0 for a single response."""
    if len(logps) < 2:
        return [0.0] * len(logps)
    bound = log_mean_exp(logps)
    return [bound - log_mean_exp(logps[:place] + logps[place + 1 :]) for place in range(len(logps))]


def scaled(values: list[float]) -> list[float]:
    """Return the values of a group over their sample standard deviation, not centred; 0 where they hardly deviate."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return [value / deviation if deviation > LEAST_DEVIATION else 0.0 for value in values]


def clip(value: float) -> float:
    """Return the value, or the nearer one of -1 and 1."""
    return max(-1.0, min(1.0, value))
