r"""Reward of Likelihood-RL and GeneralThinker: the log-likelihood of the reference answer after the model's reasoning.

Equation 6: R = log π(a* | x, r), with the text `x + r + \boxed{a*}` tokenised as a whole. A `LikelihoodSpan` names the
tokens over which R is summed.
"""

from typing import Literal

from generalthinker.rewards import Rollout, Scorer, reasoning_prefix

# Which tokens are scored: those that overlap `a*}`; those that overlap `a*`; or those that overlap `a*}`, of which the
# last one stands for every token whose text begins with its own, as `}.` begins with `}`.
LikelihoodSpan = Literal["answer_and_brace", "answer", "answer_and_any_brace"]


def reward(
    rollouts: list[Rollout], scorer: Scorer, *, floor: float, span: LikelihoodSpan = "answer_and_brace"
) -> list[float]:
    """Return the answer's log-likelihood (nats) per rollout, or `floor` if the rollout has no reasoning prefix."""
    prefixes = [reasoning_prefix(rollout) for rollout in rollouts]
    usable = [i for i, prefix in enumerate(prefixes) if prefix is not None]
    contexts = [f"{rollouts[i].prompt}{prefixes[i]}\\boxed{{" for i in usable]
    answers = [rollouts[i].answer for i in usable]
    if span == "answer":
        logps = scorer.span_logps(contexts, answers, after=["}"] * len(answers))
    else:
        closed = [answer + "}" for answer in answers]
        logps = scorer.span_logps(contexts, closed, any_ending=span == "answer_and_any_brace")
    rewards = [floor] * len(rollouts)
    for i, tokens in zip(usable, logps, strict=True):
        rewards[i] = sum(tokens)
    return rewards
