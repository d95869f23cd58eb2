r"""NOVER (arXiv 2505.16022): rewarded by ranks of the answer's perplexity under a slow copy of the policy.

perplexity = exp(mean over the tokens of `\boxed{a*}` of −log π_slow / max(1, 1 + log10 |r|)); the rank reward of n
valid responses is (n − rank + 1) / n; the efficiency reward is the share of the other valid responses that are both
longer and of higher perplexity; reward = 1 + rank + efficiency, and 0 for a response without a closed box.

From the released code; the paper has the same, without the ties, which the code breaks by order. Every `update_every`
steps the slow policy moves by `update_rate` towards the policy. The prompt is this project's, where the authors use no
chat template. Own form: the KL term keeps the policy near the slow one, with weight 0.1, temperature 0.6, truncated
responses in the loss. A later version of the code has a rate of 0.6, temperature 0.7 and advantages that are not
scaled.
"""

import math
import statistics
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from generalthinker.methods.method import Knob, SlowPolicy, Step
from generalthinker.methods.rival import Rival
from generalthinker.rewards import Policy, Rollout, Scorer, likelihood, reasoning_prefix
from generalthinker.sections import Count


class NOVER(Rival):
    """Rank of the answer's perplexity in its group, under a slowly updated policy, and an efficiency reward."""

    family: Literal["nover"]
    reward: ClassVar[str | None] = "rank of the answer's perplexity"
    OWN_TRAINING: ClassVar[dict[str, Any]] = {
        "kl_coef": 0.1,
        "clip_range": 0.1,
        "temperature": 0.6,
        "mask_truncated": False,
        "epsilon_high": 0.2,
    }

    efficiency_weight: Annotated[
        float, Field(ge=0, description="weight of the efficiency reward; the released 7B model was trained with 0.1")
    ] = 1.0
    update_rate: Annotated[
        float, Field(gt=0, le=1, description="how far an update moves the slow policy to the policy")
    ] = 0.1
    update_every: Annotated[
        Count,
        Field(description="optimizer steps between updates of the slow policy"),
        Knob("slow-every", "s", "steps between updates s"),
    ] = 100

    @property
    def slow_policy(self) -> SlowPolicy:
        """The policy that perplexities are computed with."""
        return SlowPolicy(self.update_rate, self.update_every)

    @property
    def kl_anchor(self) -> Policy:
        """The slow policy in the own form."""
        return "slow" if self.own else "initial"

    def score(self, rollouts: list[Rollout], scorer: Scorer) -> list[tuple[float, int] | None]:
        """Return perplexity and tokens of the reasoning of each response, None for one without a closed box."""
        scored = likelihood.answer_logps(rollouts, scorer, span="box", policy="slow")
        scores: list[tuple[float, int] | None] = []
        for rollout, logps in zip(rollouts, scored, strict=True):
            if logps is None:
                scores.append(None)
                continue
            length = len(scorer.tokenizer(reasoning_prefix(rollout), add_special_tokens=False)["input_ids"])
            scores.append((perplexity(logps, length), length))
        return scores

    def rewards(self, step: Step) -> list[list[float]]:
        """Return format, rank and efficiency of each response in its group."""
        return [group_rewards([one.score for one in group], self.efficiency_weight) for group in step.groups]


def perplexity(logps: list[float], length: int) -> float:
    """Return the perplexity of an answer after a reasoning of `length` tokens, which lowers it the longer it is."""
    return math.exp(-statistics.fmean(logps) / max(1.0, 1.0 + math.log10(max(1, length))))


def group_rewards(scores: list[tuple[float, int] | None], efficiency_weight: float) -> list[float]:
    """Return the rewards of one group from (perplexity, reasoning tokens) of its valid responses."""
    valid = [place for place, score in enumerate(scores) if score is not None]
    best_first = sorted(valid, key=lambda place: scores[place][0])  # type: ignore[index]
    rewards = [0.0] * len(scores)
    for rank, place in enumerate(best_first):
        own, length = scores[place]  # type: ignore[misc]
        worse = sum(length < other[1] and own < other[0] for other in (scores[i] for i in valid) if other)
        efficiency = worse / (len(valid) - 1) if len(valid) > 1 else 0.0
        rewards[place] = 1 + (len(valid) - rank) / len(valid) + efficiency_weight * efficiency
    return rewards
