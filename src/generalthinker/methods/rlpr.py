"""RLPR (arXiv 2506.18254): rewarded by the mean probability of the answer's tokens, minus that without reasoning.

B = mean of π(a*_k | x, r, a*_<k); A0 = the same after the prompt alone, under the initial policy; δ = max(0, B − A0);
reward = 0.9 δ + 0.1 f, with f = 1 for a well-formed response. Groups whose rewards differ less than usual are left out.

From the released code: the format term, the penalty for repetition, and how the filter's threshold moves. The paper has
clip(B − A0, 0, 1) alone. Choices made here: a closed box with an answer is the well-formed response; an open box that
the policy ends keeps B with f = 0; every other response has B = 0. Left-out groups are not replaced by others. Own
form: B and A0 in bfloat16, 1e-6 instead of 1e-4 beside the standard deviation, no KL, tokens of all responses weigh
alike, entropy bonus, truncated responses in the loss. The four updates per batch of rollouts are one here, so that no
ratio is ever clipped.
"""

import math
import statistics
from collections import Counter
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from generalthinker.answers.boxed import BOX, last_box
from generalthinker.methods.method import Knob, Step
from generalthinker.methods.rival import VERL_EPSILON, Rival, z_scores
from generalthinker.metrics import Metric
from generalthinker.rewards import Rollout, Scorer, likelihood, reasoning_prefix

WINDOW, REPEATS = 10, 10  # words of a window, and how often it must occur to be penalised
RECORDED, FILTERED_FROM = range(6, 11), 11  # steps
MEMORY = 0.99  # weight of the past in the moving average


class RLPR(Rival):
    """Mean probability of the answer's tokens, less that without reasoning; indecisive groups are left out."""

    family: Literal["rlpr"]
    reward: ClassVar[str | None] = "mean answer probability"
    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("rlpr/left_out", "rlpr/left_out", "Groups left out by RLPR", "share of groups"),
    )
    OWN_TRAINING: ClassVar[dict[str, Any]] = {
        "kl_coef": 0.0,
        "clip_range": 0.2,
        "temperature": 1.0,
        "mask_truncated": False,
        "epsilon_high": 0.27,
        "loss_type": "dapo",
        "entropy_coef": 0.001,
    }

    format_weight: Annotated[float, Field(ge=0, le=1, description="weight of f; δ has 1 minus it")] = 0.1
    filter_strength: Annotated[
        float | None,
        Field(
            gt=0,
            description="β: groups whose rewards deviate by less than β times the moving average are left out, from "
            "step 11 on; the authors' 0.5 is for Qwen, 0.9 for Llama, 1 for Gemma; null: no group is",
        ),
        Knob("leave-out", "β", "filter strength β of RLPR"),
    ] = 0.5

    @property
    def needs(self) -> dict[str, str]:
        """The answer without reasoning under the initial policy."""
        return super().needs | {"initial policy": "yes"}

    def score(self, rollouts: list[Rollout], scorer: Scorer) -> list[float]:
        """Return 0.9 δ + 0.1 f of each response, less 1 if it repeats itself."""
        closed = [_closed(rollout) for rollout in rollouts]
        after_reasoning = likelihood.answer_logps(closed, scorer, span="answer")
        alone = self._without_reasoning(rollouts, scorer)
        rewards = []
        for rollout, logps, without in zip(rollouts, after_reasoning, alone, strict=True):
            probability = 0.0 if logps is None else self._mean_probability(logps)
            well_formed = reasoning_prefix(rollout) is not None
            value = (1 - self.format_weight) * max(0.0, probability - without) + self.format_weight * well_formed
            rewards.append(value - 1 if value and repeats(rollout.completion) else value)
        return rewards

    def advantages(self, step: Step, rewards: list[list[float]]) -> list[list[float | None]]:
        """Return z-scores, and None in groups whose standard deviation is below β times the moving average."""
        spreads = [statistics.stdev(group) for group in rewards]
        bound = (self.filter_strength or 0.0) * usual_spread(step.number, statistics.fmean(spreads), step.state)
        step.metrics["rlpr/left_out"] = statistics.fmean(spread < bound for spread in spreads)
        epsilon = VERL_EPSILON if self.own else 1e-4
        return [
            [*z_scores(group, epsilon)] if spread >= bound else [None] * len(group)
            for group, spread in zip(rewards, spreads, strict=True)
        ]

    def _without_reasoning(self, rollouts: list[Rollout], scorer: Scorer) -> list[float]:
        """Return A0 of each response; the responses to one prompt share it."""
        pairs = [*dict.fromkeys((f"{rollout.prompt} ", rollout.answer) for rollout in rollouts)]
        ends = [f" {scorer.tokenizer.eos_token}"] * len(pairs)
        contexts, answers = ([pair[place] for pair in pairs] for place in (0, 1))
        logps = scorer.span_logps(contexts, answers, after=ends, policy="initial")
        values = dict(zip(pairs, map(self._mean_probability, logps), strict=True))
        return [values[f"{rollout.prompt} ", rollout.answer] for rollout in rollouts]

    def _mean_probability(self, logps: list[float]) -> float:
        mean = statistics.fmean(map(math.exp, logps))
        return _to_bfloat16(mean) if self.own else mean


def usual_spread(step: int, spread: float, state: dict[str, Any]) -> float:
    """Return the moving average of the groups' standard deviations that holds at `step` (0 before step 11).

    `spread` is the mean of this step, left-out groups included; `state` is kept between steps.
    """
    if step in RECORDED:
        state["recorded"] = [*state.get("recorded", []), spread]
    if step < FILTERED_FROM:
        return 0.0
    if "usual" in state:
        state["usual"] = MEMORY * state["usual"] + (1 - MEMORY) * state["before"]
    else:
        state["usual"] = statistics.fmean(state["recorded"])
    state["before"] = spread
    return state["usual"]


def repeats(text: str) -> bool:
    """Return whether some ten words in a row occur ten times or more."""
    words = text.split()
    windows = Counter(zip(*(words[start:] for start in range(WINDOW)), strict=False))
    return max(windows.values(), default=0) >= REPEATS


def _closed(rollout: Rollout) -> Rollout:
    """Return the response; a last box that was left open is closed, because the answer stands in for its content."""
    box = last_box(rollout.completion)
    if box is None or box.content is not None:
        return rollout
    return replace(rollout, completion=f"{rollout.completion[: box.start]}{BOX}x}}")


def _to_bfloat16(value: float) -> float:
    import torch

    return torch.tensor(value, dtype=torch.bfloat16).item()
