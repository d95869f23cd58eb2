"""Binary-RL's reward: 1 if the final boxed answer is correct, else 0 (the paper's appendix C)."""

from generalthinker.answers import grade
from generalthinker.rewards import Rollout, Scorer


def reward(rollouts: list[Rollout], scorer: Scorer, *, floor: float) -> list[float]:
    """Return 1.0 for each completed rollout whose boxed answer is correct, else 0.0; scorer and floor are not used."""
    return [
        float(not r.truncated and grade(r.completion, r.answer, r.answer_type, r.options).correct) for r in rollouts
    ]
