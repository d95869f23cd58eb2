"""Methods for tests only, which together use every hook that `generalthinker.methods.method` offers."""

import statistics
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from transformers import AutoTokenizer

import tiny
from generalthinker.credit import modulate
from generalthinker.methods.method import AnswerLoss, Knob, Method, Quantity, SlowPolicy, TokenCredit
from generalthinker.metrics import Metric
from generalthinker.rewards import reasoning_prefix


class GroupRank(Method):
    """Ranks responses by a slow policy, times their length; skips groups that differ less than usual."""

    family: Literal["group_rank"]
    reward: ClassVar[str | None] = "rank"
    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("group_rank/skipped", "group_rank/skipped", "Skipped groups", "share of groups"),
    )

    judge: str = Field("small", description="the model whose tokenizer measures responses")
    decay: Annotated[float, Field(gt=0, lt=1, description="weight of the past"), Knob("decay", "δ", "decay δ")] = 0.5

    @property
    def models(self):
        return {"judge": self.judge}

    @property
    def slow_policy(self):
        return SlowPolicy(rate=0.5, every=2)

    def score(self, rollouts, scorer):
        usable = [(i, prefix) for i, r in enumerate(rollouts) if (prefix := reasoning_prefix(r)) is not None]
        contexts = [f"{rollouts[i].prompt}{prefix}\\boxed{{" for i, prefix in usable]
        spans = [rollouts[i].answer for i, _ in usable]
        ends = ["}"] * len(spans)
        totals = {}
        for policy in ("slow", "initial", "current"):
            logps = scorer.span_logps(contexts, spans, after=ends, policy=policy)
            totals[policy] = {i: sum(row) for (i, _), row in zip(usable, logps, strict=True)}
        judge = AutoTokenizer.from_pretrained(scorer.model_folder("judge"))
        return [
            {policy: total.get(i) for policy, total in totals.items()}
            | {"length": len(judge(r.completion)["input_ids"])}
            for i, r in enumerate(rollouts)
        ]

    def rewards(self, step):
        return [
            [one.score["length"] * sum(self._key(one) > self._key(other) for other in group) for one in group]
            for group in step.groups
        ]

    @staticmethod
    def _key(response):
        slow = response.score["slow"]
        return (-1e9 if slow is None else slow, -response.score["length"])

    def advantages(self, step, rewards):
        spreads = [statistics.pstdev(group) for group in rewards]
        usual = step.state.get("usual", 0.0)
        step.state["usual"] = self.decay * usual + (1 - self.decay) * statistics.mean(spreads)
        step.metrics["group_rank/skipped"] = statistics.mean(spread < usual for spread in spreads)
        return [
            [None if spread < usual else reward - statistics.mean(group) for reward in group]
            for group, spread in zip(rewards, spreads, strict=True)
        ]


class AnswersOnly(Method):
    """Leaves every response out of the loss and trains on the true answers alone, half of them with a weight."""

    family: Literal["answers_only"]
    reward: ClassVar[str | None] = "none"

    def score(self, rollouts, scorer):
        return [0.0] * len(rollouts)

    def advantages(self, step, rewards):
        return [[None] * len(group) for group in rewards]

    def answer_losses(self, step, rewards):
        return [
            [
                AnswerLoss(f"{one.rollout.prompt}so \\boxed{{", f"{one.rollout.answer}}}", 0.5 + place)
                if place % 2
                else None
                for place, one in enumerate(group)
            ]
            for group in step.groups
        ]


class EntropyGate(Method):
    """Gives the advantage to the reasoning tokens where the policy is least certain, and to all other tokens."""

    family: Literal["entropy_gate"]
    reward: ClassVar[str | None] = "length"

    @property
    def quantities(self):
        return (Quantity("entropy", "entropy (nats)"), Quantity("advantage", "advantage"))

    def score(self, rollouts, scorer):
        return [float(rollout.tokens) for rollout in rollouts]

    def token_credit(self, responses):
        entropies = responses.entropies()
        certain = responses.prefix_mask & (entropies < entropies[responses.prefix_mask].median())
        plain = modulate(responses.advantages, entropies, responses.prefix_mask, strength=0.0).advantages
        return TokenCredit(plain.masked_fill(certain, 0.0), {}, {"entropy": entropies})


SAMPLES = {"Group rank": GroupRank, "Answers only": AnswersOnly, "Entropy gate": EntropyGate}


def with_samples(settings):
    """Return `settings` with the sample methods beside their own."""
    samples = {name: kind(family=kind.model_fields["family"].annotation.__args__[0]) for name, kind in SAMPLES.items()}
    return settings.model_copy(update={"methods": {**settings.methods, **samples}})


def sample_run(folder, model, method, **training):
    """Return settings and run of the tiny model by a sample method."""
    folder.mkdir(exist_ok=True)
    settings = with_samples(tiny.settings(folder, model, **training))
    [run] = settings.runs(tiny.choice(method))
    return settings, run
