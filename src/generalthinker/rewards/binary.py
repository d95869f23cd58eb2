"""Binary-RL's reward: 1 if the final boxed answer is correct, else 0 (the paper's appendix C)."""

from generalthinker.rewards import Rollout, is_correct


def reward(rollouts: list[Rollout]) -> list[float]:
    """Return 1.0 for each completed rollout whose boxed answer is correct, else 0.0."""
    return [float(is_correct(rollout)) for rollout in rollouts]
