r"""Likelihood-RL's and GeneralThinker's reward: how probable the true answer is after the model's own reasoning.

Equation 6: R = log π(a* | x, r), summed over the tokens whose characters overlap `a*}` in `x + r + \boxed{a*}`.
"""

from generalthinker.answers.boxed import last_box
from generalthinker.rewards import Rollout, Scorer


def reward(rollouts: list[Rollout], scorer: Scorer, *, floor: float) -> list[float]:
    """Return the answer's log-likelihood (nats) per rollout, `floor` where no reasoning leads to a boxed answer."""
    prefixes = [reasoning_prefix(rollout) for rollout in rollouts]
    usable = [i for i, prefix in enumerate(prefixes) if prefix is not None]
    logps = scorer.span_logps(
        [f"{rollouts[i].prompt}{prefixes[i]}\\boxed{{" for i in usable], [f"{rollouts[i].answer}}}" for i in usable]
    )
    rewards = [floor] * len(rollouts)
    for i, tokens in zip(usable, logps, strict=True):
        rewards[i] = sum(tokens)
    return rewards


def reasoning_prefix(rollout: Rollout) -> str | None:
    r"""Return r, the text before the last `\boxed{`; None if truncated, or if box or prefix is missing or empty."""
    box = last_box(rollout.completion)
    if rollout.truncated or box is None or not (box.content or "").strip():
        return None
    prefix = rollout.completion[: box.start]
    return prefix if prefix.strip() else None
