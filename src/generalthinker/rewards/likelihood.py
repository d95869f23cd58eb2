r"""Reward of Likelihood-RL and GeneralThinker: the log-likelihood of the reference answer after the model's reasoning.

Equation 6: R = log π(a* | x, r), summed over the tokens whose characters overlap `a*}` in `x + r + \boxed{a*}`.
"""

from generalthinker.rewards import Rollout, Scorer, reasoning_prefix


def reward(rollouts: list[Rollout], scorer: Scorer, *, floor: float) -> list[float]:
    """Return the answer's log-likelihood (nats) per rollout, or `floor` if the rollout has no reasoning prefix."""
    prefixes = [reasoning_prefix(rollout) for rollout in rollouts]
    usable = [i for i, prefix in enumerate(prefixes) if prefix is not None]
    logps = scorer.span_logps(
        [f"{rollouts[i].prompt}{prefixes[i]}\\boxed{{" for i in usable], [f"{rollouts[i].answer}}}" for i in usable]
    )
    rewards = [floor] * len(rollouts)
    for i, tokens in zip(usable, logps, strict=True):
        rewards[i] = sum(tokens)
    return rewards
