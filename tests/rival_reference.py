r"""A second implementation of the rivals and of one optimizer step with them: float64, one response at a time.

Like `method_reference`, on which it builds, it imports nothing from the package.
"""

import hashlib
import itertools
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

import method_reference as reference
from method_reference import (
    BOX,
    Policy,
    chat,
    mean,
    parts_within,
    response_bytes,
    span_tokens,
    token_bytes,
    tokens_within,
)

VERIFIER_INSTRUCTION = """For the above question, please verify if the student's answer is equivalent to the ground \
truth answer.
Do not solve the question by yourself; just check if the student's answer is equivalent to the ground truth answer.
If the student's answer is correct, output "Final Decision: Yes". If the student's answer is incorrect, output "Final \
Decision: No". Assistant:"""


@dataclass
class Parsed:
    """One response, taken apart: `content` is None where the last box is missing or open."""

    prompt: str
    answer: str
    text: str
    ids: list[int]
    start: int  # character at which the last box begins, -1 without one
    content: str | None
    truncated: bool
    prefix_tokens: int

    @property
    def prefix(self) -> str:
        return self.text[: max(self.start, 0)]

    @property
    def valid(self) -> bool:
        return not self.truncated and bool(self.content and self.content.strip() and self.prefix.strip())


@dataclass
class Terms:
    """What a method adds to a step: rewards, advantages by token, and (ids, count, weight) of its answer losses."""

    rewards: list[float]
    advantages: list[list[float]]
    answers: list[tuple[list[int], int, float]] = field(default_factory=list)


@dataclass
class Norm:
    """How the loss is formed: KL weight and anchor, what is summed over what, entropy bonus, truncated responses."""

    kl_coef: float = 0.05
    anchor: str = "initial"
    loss: str = "grpo"
    max_tokens: int = 0
    entropy_coef: float = 0.0
    mask_truncated: bool = True


class Policies:
    """The three policies that methods score with."""

    def __init__(self, current: Policy, slow: Policy, tokenizer) -> None:
        self.current, self.slow, self.tokenizer = current, slow, tokenizer

    def logps(self, ids: list[int], count: int, policy: str = "current") -> torch.Tensor:
        if policy == "slow":
            return self.slow.logps(ids, count)
        return self.current.logps(ids, count, adapter=policy == "current")

    def values(self, ids: list[int], count: int, policy: str = "current") -> list[float]:
        with torch.no_grad():
            return self.logps(ids, count, policy).tolist()

    def span(self, context: str, span: str, policy: str = "current") -> list[float]:
        return self.values(*span_tokens(self.tokenizer, context, span), policy)

    def answer_alone(self, context: str, answer: str, after: str, policy: str = "current") -> list[float]:
        """Log π of the tokens with a byte of the answer, in a text that goes on with `after`."""
        ids, count = span_tokens(self.tokenizer, context, answer + after)
        values, end = self.values(ids, count, policy), len((context + answer).encode())
        begins = [0, *itertools.accumulate(len(token_bytes(self.tokenizer, i)) for i in ids[:-1])]
        return [value for value, begin in zip(values, begins[-count:], strict=True) if begin < end]


def parse(tokenizer, row: dict, ids: list[int]) -> Parsed:
    parts = response_bytes(tokenizer, ids)
    written = b"".join(parts)
    text = written.decode(errors="replace")
    parsed = Parsed(
        prompt=chat(row["question"], reference.INSTRUCTION),
        answer=row["answer"],
        text=text,
        ids=ids,
        start=text.rfind(BOX),
        content=reference.box_content(text),
        truncated=ids[-1] != tokenizer.eos_token_id,
        prefix_tokens=0,
    )
    if parsed.valid:
        parsed.prefix_tokens = parts_within(parts, written.rfind(BOX.encode()))
    return parsed


def step(policies: Policies, parsed: list[Parsed], group: int, method: Callable[..., Terms], norm: Norm):
    """Return the loss of one optimizer step, and the method's terms."""
    groups = [parsed[first : first + group] for first in range(0, len(parsed), group)]
    terms = method(policies, groups)
    sums, counts, entropies = [], [], []
    for one, advantages in zip(parsed, terms.advantages, strict=True):
        if norm.mask_truncated and one.truncated:
            sums.append(0.0)
            counts.append(0)
            continue
        ids = policies.tokenizer(one.prompt)["input_ids"] + one.ids
        everything = policies.current.distributions(ids)[-len(one.ids) :]
        new = everything.gather(1, torch.tensor(one.ids).unsqueeze(1)).squeeze(1)
        with torch.no_grad():
            gap = policies.logps(ids, len(one.ids), norm.anchor) - new.detach() if norm.kl_coef else None
        ratio = (new - new.detach()).exp()
        tokens = -ratio * torch.tensor(advantages, dtype=torch.float64)
        if gap is not None:
            gap = gap + new.detach() - new
            tokens = tokens + norm.kl_coef * (gap.exp() - gap - 1)
        sums.append(tokens.sum())
        counts.append(len(one.ids))
        entropies.append(-(everything.exp() * everything).sum())
    if norm.loss == "dapo":
        loss = sum(sums) / sum(counts)
    else:
        divisors = {"grpo": counts, "luspo": [1] * len(counts), "dr_grpo": [norm.max_tokens] * len(counts)}[norm.loss]
        loss = sum(total / max(divisor, 1) for total, divisor in zip(sums, divisors, strict=True)) / len(sums)
    if norm.entropy_coef:
        loss = loss - norm.entropy_coef * sum(entropies) / sum(counts)
    for ids, count, weight in terms.answers:
        loss = loss - weight * policies.logps(ids, count).sum() / len(parsed)
    return loss, terms


def constant(advantages: list[float], parsed: list[Parsed], reasoning: bool = False) -> list[list[float]]:
    """The response's advantage at each token, or 0 after its reasoning where it has one."""
    return [
        [a if not (reasoning and one.prefix_tokens) or t < one.prefix_tokens else 0.0 for t in range(len(one.ids))]
        for a, one in zip(advantages, parsed, strict=True)
    ]


def flat(groups: list[list]) -> list:
    return [value for group in groups for value in group]


def centred(values: list[float], epsilon: float) -> list[float]:
    centre = mean(values)
    deviation = math.sqrt(math.fsum((v - centre) ** 2 for v in values) / (len(values) - 1))
    return [(v - centre) / (deviation + epsilon) for v in values]


def others_subtracted(values: list[float]) -> list[float]:
    return [v - math.fsum(values[:i] + values[i + 1 :]) / (len(values) - 1) for i, v in enumerate(values)]


def likelihood_per_token(policies: Policies, groups: list[list[Parsed]]) -> Terms:
    rewards = [
        [mean(policies.span(one.prompt + one.prefix + BOX, one.answer + "}")) if one.valid else -30.0 for one in group]
        for group in groups
    ]
    return Terms(flat(rewards), constant(flat([centred(values, 1e-4) for values in rewards]), flat(groups)))


def rlpr(policies: Policies, groups: list[list[Parsed]], own: bool) -> Terms:
    eos = policies.tokenizer.eos_token

    def probability(values: list[float]) -> float:
        value = mean([math.exp(v) for v in values])
        return float(torch.tensor(value).bfloat16()) if own else value

    def reward(one: Parsed) -> float:
        # An open box that the policy ended can be scored too; its format is wrong.
        opened = one.start >= 0 and one.content is None and not one.truncated and one.prefix.strip()
        scored = 0.0
        if one.valid or opened:
            scored = probability(policies.answer_alone(one.prompt + one.prefix + BOX, one.answer, "}"))
        alone = probability(policies.answer_alone(one.prompt + " ", one.answer, " " + eos, "initial"))
        return 0.9 * max(0.0, scored - alone) + 0.1 * one.valid

    rewards = [[reward(one) for one in group] for group in groups]
    epsilon = 1e-6 if own else 1e-4
    return Terms(flat(rewards), constant(flat([centred(values, epsilon) for values in rewards]), flat(groups)))


def verifree(policies: Policies, groups: list[list[Parsed]], own: bool) -> Terms:
    rewards, answers = [], []
    for group in groups:
        rewards.append([])
        for one in group:
            value = 0.0
            if one.valid:
                ids, count = span_tokens(policies.tokenizer, one.prompt + one.prefix, f"{BOX}{one.answer}}}")
                value = math.prod(math.exp(v) for v in policies.values(ids, count))
                answers.append((ids, count, value if own else value / len(one.ids)))
            rewards[-1].append(value)
    advantages = flat([others_subtracted(values) for values in rewards])
    return Terms(flat(rewards), constant(advantages, flat(groups), reasoning=True), answers)


def nover(policies: Policies, groups: list[list[Parsed]], efficiency: float = 1.0) -> Terms:
    rewards = []
    for group in groups:
        scores = []  # (perplexity, tokens of the reasoning, place)
        for place, one in enumerate(group):
            if one.valid:
                nll = -mean(policies.span(one.prompt + one.prefix, f"{BOX}{one.answer}}}", "slow"))
                length = len(policies.tokenizer(one.prefix, add_special_tokens=False)["input_ids"])
                scores.append((math.exp(nll / max(1, 1 + math.log10(length))), length, place))
        values = [0.0] * len(group)
        for ppl, length, place in scores:
            better = sum((other[0], other[2]) < (ppl, place) for other in scores)
            outdone = sum(other[1] > length and other[0] > ppl for other in scores)
            values[place] = 2 - better / len(scores) + efficiency * (outdone / max(1, len(scores) - 1))
        rewards.append(values)
    return Terms(flat(rewards), constant(flat([centred(values, 1e-4) for values in rewards]), flat(groups)))


def latro(policies: Policies, groups: list[list[Parsed]], own: bool, answer_weight: float = 0.0) -> Terms:
    logps: dict[int, float] = {}
    answers, rewards = [], []
    for place, one in enumerate(flat(groups)):
        if one.start < 0 and one.truncated:
            continue
        z = one.prefix if one.start >= 0 else one.text
        target = f"{BOX}{one.answer}}}{policies.tokenizer.eos_token}"
        ids = policies.tokenizer(one.prompt + z + target, add_special_tokens=False)["input_ids"]
        before = tokens_within(policies.tokenizer, ids, len((one.prompt + z).encode()))
        logps[place] = math.fsum(policies.values(ids, len(ids) - before))
        if answer_weight:
            answers.append((ids, len(ids) - before, answer_weight / (1 if own else len(one.ids))))
    lowest = 2 * mean([*logps.values()])
    for place, one in enumerate(flat(groups)):
        value = logps.get(place, lowest)
        z = one.prefix if one.start >= 0 else one.text
        if own and z:
            new, old = policies.span(one.prompt, z), policies.span(one.prompt, z, "initial")
            value -= 0.05 * (math.fsum(new) - math.fsum(old))
        rewards.append(value)
    size = len(groups[0])
    advantages = [a for first in range(0, len(rewards), size) for a in others_subtracted(rewards[first:][:size])]
    return Terms(rewards, constant(advantages, flat(groups), reasoning=True), answers)


def dro(policies: Policies, groups: list[list[Parsed]]) -> Terms:
    rewards = []
    for group in groups:
        table = {
            place: policies.span(one.prompt + one.prefix + BOX, one.answer + "}")
            for place, one in enumerate(group)
            if one.valid
        }
        alone = policies.span(group[0].prompt + BOX, group[0].answer + "}")
        columns = [*zip(*table.values(), strict=True)]
        spread = [math.sqrt(mean([(v - mean(column)) ** 2 for v in column])) for column in columns]
        weights = [s / sum(spread) if sum(spread) else 0.0 for s in spread]
        gains = {
            place: math.fsum(w * (v - a) for w, v, a in zip(weights, values, alone, strict=True))
            for place, values in table.items()
        }
        rewards.append([gains.get(place, -5.0) for place in range(len(group))])
    return Terms(flat(rewards), constant(flat([centred(values, 1e-4) for values in rewards]), flat(groups)))


def jepo(policies: Policies, groups: list[list[Parsed]], weight: float = 0.01) -> Terms:
    rewards, advantages, answers = [], [], []
    for group in groups:
        spans = {
            place: span_tokens(policies.tokenizer, one.prompt + one.prefix + BOX, one.answer + "}")
            for place, one in enumerate(group)
            if one.valid
        }
        logps = {place: math.fsum(policies.values(*span)) for place, span in spans.items()}
        probabilities = {place: math.exp(value) for place, value in logps.items()}
        added = {
            place: math.log(
                mean([*probabilities.values()]) / mean([q for other, q in probabilities.items() if other != place])
            )
            if len(probabilities) > 1
            else 0.0
            for place in probabilities
        }
        deviation = statistics.stdev(added.values()) if len(added) > 1 else 1.0
        form = centred([0.0 if place in added else -10.0 for place in range(len(group))], 1e-4)
        rewards.append([logps.get(place, -10.0) for place in range(len(group))])
        for place, value in enumerate(form):
            part = added.get(place, 0.0) / deviation
            advantages.append(min(1, max(-1, part)) + min(1, max(-1, value)))
        for place, (ids, count) in spans.items():
            share = probabilities[place] / math.fsum(probabilities.values())
            answers.append((ids, count, weight * len(group) * share))
    return Terms(flat(rewards), constant(advantages, flat(groups)), answers)


def general_reasoner(policies: Policies, groups: list[list[Parsed]], judge: Policy, words, own: bool) -> Terms:
    """`judge` reads and writes with the tokenizer `words`; no response here states an answer outside a box."""

    def reward(one: Parsed) -> float:
        question = one.prompt.partition("user\n")[2].rpartition(f"\n{reference.INSTRUCTION}")[0]
        closed, text = None, one.text
        while BOX in text and closed is None:
            closed, text = reference.box_content(text), text[: text.rfind(BOX)]
        ids = words(
            f"User: ### Question: {question}\n\n### Ground Truth Answer: {one.answer}\n\n### Student Answer: "
            f"{closed or None}\n\n{VERIFIER_INSTRUCTION}"
        )["input_ids"]
        start = len(ids)
        while len(ids) < start + 40 and ids[-1] != words.eos_token_id:
            with torch.no_grad():
                ids = [*ids, int(judge.distributions([*ids, 0])[-1].argmax())]
        value = 0.0 if closed else -0.5
        if "Final Decision: Yes" in words.decode(ids[start:]):
            gap = abs(len(words(closed or "No Answer")["input_ids"]) - len(words(one.answer)["input_ids"]))
            value += 1 - 0.05 * min(10, gap)
        return value

    rewards = [[reward(one) for one in group] for group in groups]
    advantages = flat([centred(values, 1e-6 if own else 1e-4) for values in rewards])
    return Terms(flat(rewards), constant(advantages, flat(groups)))


def control(policies: Policies, groups: list[list[Parsed]], change: str, seed: int, share: float = 0.2) -> Terms:
    """The changed modulation with β = 0.1, τ = 2 and the bound of equations 12 and 13."""
    parsed, tokenizer = flat(groups), policies.tokenizer
    rewards = [
        [math.fsum(policies.span(o.prompt + o.prefix + BOX, o.answer + "}")) if o.valid else -30.0 for o in group]
        for group in groups
    ]
    advantages = flat([centred(values, 1e-4) for values in rewards])
    rows = constant(advantages, parsed)
    threshold = quantile(flat([entropies(policies, one)[: one.prefix_tokens] for one in parsed]), 1 - share)
    for place, (one, advantage) in enumerate(zip(parsed, advantages, strict=True)):
        count = one.prefix_tokens
        if not count:
            continue
        question = one.prompt.partition("user\n")[2].rpartition(f"\n{reference.INSTRUCTION}")[0]
        told = tokenizer(chat(question, reference.CONDITIONED) + f"{BOX}{one.answer}}}\n")["input_ids"]
        plain = tokenizer(one.prompt)["input_ids"]
        s = [
            a - b
            for a, b in zip(
                policies.values(told + one.ids[:count], count),
                policies.values(plain + one.ids[:count], count, "initial"),
                strict=True,
            )
        ]
        digest = hashlib.sha256(repr((seed, 1, place)).encode()).digest()
        drawn = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))
        if change == "negated":
            s = [-value for value in s]
        elif change == "shuffled":
            s = [s[i] for i in torch.randperm(count, generator=drawn).tolist()]
        elif change == "random":
            s = torch.randn(count, generator=drawn).tolist()
        credit = reference.credit(advantage, s, 0.1, 2.0, direction_preserving=True, bound="max_abs")
        if change != "gate":
            rows[place][:count] = credit.advantages
            continue
        open_at = [t for t, value in enumerate(entropies(policies, one)[:count]) if value >= threshold]
        if open_at:
            weights = reference.projection([credit.recentred[t] for t in open_at])
            for t, w in zip(open_at, weights, strict=True):
                rows[place][t] = advantage + 0.1 * abs(advantage) * w
    return Terms(flat(rewards), rows)


def entropies(policies: Policies, one: Parsed) -> list[float]:
    ids = policies.tokenizer(one.prompt)["input_ids"] + one.ids
    with torch.no_grad():
        everything = policies.current.distributions(ids)[-len(one.ids) :]
    return (-(everything.exp() * everything).sum(dim=1)).tolist()


def quantile(values: list[float], q: float) -> float:
    """The quantile that lies linearly between the two nearest values."""
    ordered, place = sorted(values), q * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
