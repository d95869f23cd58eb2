r"""DRO (arXiv 2506.13351, version 1): rewarded by R3, the gain of those tokens that differ within the group.

R3_i = Σ_j w_j [log π(a*_j | x, r_i, a*_<j) − log π(a*_j | x, a*_<j)], where w_j is the standard deviation of log π(a*_j
| x, r_i, a*_<j) over the group's responses, divided by the sum of these over the answer's tokens.

No code is published. The paper does not state the weights' form (the one here is a guess) and masks the reasoning,
which is taken as an empty reasoning. Not built: its term for the answer's length, whose weight it does not state, and
its two filters of the training data. The scored tokens are those of Likelihood-RL. A response without a closed box has
`reward_floor`, a guess. Own form: token sums over the token limit (Dr. GRPO) with scaled advantages, KL 0.001, top-p
0.95. The authors sample 16 responses per prompt.
"""

import statistics
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from generalthinker.answers.boxed import BOX
from generalthinker.methods.method import Step
from generalthinker.methods.rival import Rival
from generalthinker.rewards import Rollout, Scorer, likelihood


class DRO(Rival):
    """R3: the answer's gain in log-likelihood by the reasoning, weighted towards tokens that differ in the group."""

    family: Literal["dro"]
    reward: ClassVar[str | None] = "R3"
    OWN_TRAINING: ClassVar[dict[str, Any]] = {
        "kl_coef": 0.001,
        "temperature": 1.0,
        "mask_truncated": True,
        "loss_type": "dr_grpo",
        "top_p": 0.95,
    }

    reward_floor: Annotated[
        float,
        Field(
            lt=0,
            description="reward of responses that are truncated, or lack a boxed answer or reasoning; R3 is a mean "
            "over tokens, so that the -30 of Likelihood-RL would outweigh every difference",
        ),
    ] = -5.0

    def score(self, rollouts: list[Rollout], scorer: Scorer) -> list[tuple[list[float], list[float]] | None]:
        """Return log π of the answer's tokens after the reasoning and without it; None for an unusable response."""
        after_reasoning = likelihood.answer_logps(rollouts, scorer)
        pairs = [*dict.fromkeys((rollout.prompt + BOX, rollout.answer + "}") for rollout in rollouts)]
        contexts, answers = ([pair[place] for pair in pairs] for place in (0, 1))
        alone = dict(zip(pairs, scorer.span_logps(contexts, answers), strict=True))
        return [
            None if logps is None else (logps, alone[rollout.prompt + BOX, rollout.answer + "}"])
            for rollout, logps in zip(rollouts, after_reasoning, strict=True)
        ]

    def rewards(self, step: Step) -> list[list[float]]:
        """Return R3 of each response, and the floor of those that have none."""
        rewards = []
        for group in step.groups:
            usable = [place for place, one in enumerate(group) if one.score is not None]
            values = dict(zip(usable, r3([group[place].score for place in usable]), strict=True))
            rewards.append([values.get(place, self.reward_floor) for place in range(len(group))])
        return rewards


def r3(scores: list[tuple[list[float], list[float]]]) -> list[float]:
    """Return R3 of one group's responses from log π of the answer's tokens, each with and without the reasoning.

    A response's first token may hold text before the answer, and numbers of tokens differ: the last ones are compared.
    """
    if not scores:
        return []
    count = min(len(logps) for pair in scores for logps in pair)
    reasoned = [[*logps[-count:]] for logps, _ in scores]
    deviations = [statistics.pstdev(column) for column in zip(*reasoned, strict=True)]
    total = sum(deviations)
    if not total:
        return [0.0] * len(scores)
    return [
        sum(d * (p - q) for d, p, q in zip(deviations, logps, alone[-count:], strict=True)) / total
        for logps, (_, alone) in zip(reasoned, scores, strict=True)
    ]
