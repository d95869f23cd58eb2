r"""Reward of Likelihood-RL and GeneralThinker: the log-likelihood of the reference answer after the model's reasoning.

Equation 6: R = log π(a* | x, r), with the text `x + r + \boxed{a*}` tokenised as a whole. A `LikelihoodSpan` names the
tokens over which R is summed.
"""

import statistics
from typing import Literal

from generalthinker.answers.boxed import BOX
from generalthinker.rewards import Policy, Rollout, Scorer, reasoning_prefix

# Which tokens are scored: those that overlap `a*}`; those that overlap `a*`; or those that overlap `a*}`, of which the
# last one stands for every token whose text begins with its own, as `}.` begins with `}`.
LikelihoodSpan = Literal["answer_and_brace", "answer", "answer_and_any_brace"]


def reward(
    rollouts: list[Rollout],
    scorer: Scorer,
    *,
    floor: float,
    span: LikelihoodSpan = "answer_and_brace",
    per_token: bool = False,
) -> list[float]:
    """Return the answer's log-likelihood (nats) per rollout, or `floor` if the rollout has no reasoning prefix.

    With `per_token` it is the mean over the scored tokens instead of their sum.
    """
    combined = statistics.fmean if per_token else sum
    return [floor if logps is None else combined(logps) for logps in answer_logps(rollouts, scorer, span=span)]


def answer_logps(
    rollouts: list[Rollout],
    scorer: Scorer,
    *,
    span: LikelihoodSpan | Literal["box"] = "answer_and_brace",
    policy: Policy = "current",
) -> list[list[float] | None]:
    r"""Return the log-probability (nats) of each scored token, or None for a rollout without a reasoning prefix.

    `box` scores the whole of `\boxed{a*}`, with its opening.
    """
    prefixes = [reasoning_prefix(rollout) for rollout in rollouts]
    usable = [i for i, prefix in enumerate(prefixes) if prefix is not None]
    opening = "" if span == "box" else BOX
    contexts = [f"{rollouts[i].prompt}{prefixes[i]}{opening}" for i in usable]
    answers = [rollouts[i].answer for i in usable]
    if span == "answer":
        logps = scorer.span_logps(contexts, answers, after=["}"] * len(answers), policy=policy)
    else:
        closed = [(BOX if span == "box" else "") + answer + "}" for answer in answers]
        logps = scorer.span_logps(contexts, closed, any_ending=span == "answer_and_any_brace", policy=policy)
    scored = dict(zip(usable, logps, strict=True))
    return [scored.get(i) for i in range(len(rollouts))]
