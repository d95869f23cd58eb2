r"""A second implementation of the method, from its equations: float64, one response at a time, little tensor code.

It imports nothing from the package, so that it cannot repeat the package's mistakes. Equation numbers are those of
docs/method.md.
"""

import itertools
import math
from dataclasses import dataclass

import torch

BOX = "\\boxed{"
INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."
CONDITIONED = "Please reason step by step given the final answer within \\boxed{}."


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def group_advantages(rewards: list[float]) -> list[float]:
    """Equations 1 and 2 for one group, with the sample standard deviation that GRPO implementations use."""
    centre = mean(rewards)
    deviation = math.sqrt(math.fsum((r - centre) ** 2 for r in rewards) / (len(rewards) - 1))
    return [(r - centre) / (deviation + 1e-4) for r in rewards]


@dataclass
class Credit:
    """One response's prefix: m of equation 9, m̄ of equation 11, and the advantages of its tokens."""

    m: list[float]
    recentred: list[float]
    advantages: list[float]


def credit(
    advantage: float, s: list[float], strength: float, clip: float | None, direction_preserving: bool, bound: str
) -> Credit:
    """Equations 8 to 14 for one response whose prefix has the signal `s`."""
    if len(s) < 2 or min(s) == max(s):
        m = [0.0] * len(s)
    else:
        # Counted from the first value: where values are alike but large, their differences are exact.
        s = [value - s[0] for value in s]
        centre = mean(s)
        deviation = math.sqrt(mean([(value - centre) ** 2 for value in s]))
        m = [(value - centre) / (deviation + 1e-6) for value in s]
    bar = m
    if clip is not None and m:
        clipped = [min(max(value, -clip), clip) for value in m]
        centre = mean(clipped)
        bar = [value - centre for value in clipped]
    if direction_preserving:
        return Credit(m, bar, [advantage + strength * abs(advantage) * w for w in weights(bar, bound)])
    return Credit(m, bar, [advantage + strength * value for value in bar])


def weights(bar: list[float], bound: str) -> list[float]:
    """Equations 12 and 13, or one of their two alternatives."""
    largest = max(map(abs, bar), default=0.0)
    if largest == 0:
        return [0.0] * len(bar)
    if bound == "max_abs":
        return [value / largest for value in bar]
    if bound == "tanh":
        return [math.tanh(value) for value in bar]
    return projection(bar)


def projection(bar: list[float]) -> list[float]:
    """The closest point to `bar` with |w| ≤ 1 and Σ w = 0: walk the kinks of Σ clip(m − λ), interpolate between two."""

    def at(shift: float) -> list[float]:
        return [min(max(value - shift, -1.0), 1.0) for value in bar]

    kinks = sorted({value + side for value in bar for side in (-1.0, 1.0)})
    below = max(kink for kink in kinks if math.fsum(at(kink)) >= 0)
    above = min((kink for kink in kinks if math.fsum(at(kink)) <= 0), default=below)
    high, low = math.fsum(at(below)), math.fsum(at(above))
    return at(below if high == low else below + (above - below) * high / (high - low))


def box_content(text: str) -> str | None:
    r"""Return what stands in the last `\boxed{` of `text` with balanced braces; None where it never closes."""
    depth, position = 1, text.rfind(BOX) + len(BOX)
    start = position
    while BOX in text and position < len(text):
        if text[position] == "\\":
            position += 2
            continue
        depth += (text[position] == "{") - (text[position] == "}")
        if depth == 0:
            return text[start:position]
        position += 1
    return None


def token_bytes(tokenizer, token_id: int) -> bytes:
    """Return the bytes that a token of a byte-level vocabulary stands for."""
    added = tokenizer.added_tokens_decoder.get(token_id)
    if added is not None:
        return added.content.encode()
    # The byte-level alphabet shows printable bytes as themselves and the others as U+0100 onwards, in order.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    shown = {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(hidden)}
    return bytes(shown[character] for character in tokenizer.convert_ids_to_tokens(token_id))


def response_bytes(tokenizer, ids: list[int]) -> list[bytes]:
    """Return what each token adds to a response's text; special tokens add nothing."""
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return [b"" if token_id in special else token_bytes(tokenizer, token_id) for token_id in ids]


def parts_within(parts: list[bytes], length: int) -> int:
    """Return how many leading parts end at or before byte `length`."""
    return sum(end <= length for end in itertools.accumulate(map(len, parts)))


def tokens_within(tokenizer, ids: list[int], length: int) -> int:
    """Return how many leading tokens end at or before byte `length`."""
    return parts_within([token_bytes(tokenizer, token_id) for token_id in ids], length)


def span_tokens(tokenizer, context: str, span: str) -> tuple[list[int], int]:
    """Return the tokens of `context + span` and how many at the end reach into `span`."""
    ids = tokenizer(context + span, add_special_tokens=False)["input_ids"]
    return ids, len(ids) - tokens_within(tokenizer, ids, len(context.encode()))


class Policy:
    """A language model in float64, LoRA written out as W + scale · B A; one sequence, no padding, no cache."""

    temperature = 1.0

    def __init__(self, model, lora: dict[str, tuple[torch.Tensor, torch.Tensor]] | None = None, scale: float = 0.0):
        self.model = model.double().eval()
        self.lora = {name: (a.double(), b.double()) for name, (a, b) in (lora or {}).items()}
        self.scale = scale

    def logps(self, ids: list[int], count: int, adapter: bool = True) -> torch.Tensor:
        """Return log π of the last `count` tokens, each given all before it."""
        everything = self.distributions(ids, adapter).gather(1, torch.tensor(ids[1:]).unsqueeze(1)).squeeze(1)
        return everything[len(everything) - count :]

    def distributions(self, ids: list[int], adapter: bool = True) -> torch.Tensor:
        """Return log π of every token of the vocabulary at each place but the first."""
        changed = {}
        if adapter:
            for name, (a, b) in self.lora.items():
                changed[f"{name}.weight"] = self.model.get_parameter(f"{name}.weight").detach() + self.scale * (b @ a)
        logits = torch.func.functional_call(self.model, changed, (torch.tensor([ids]),)).logits[0]
        return (logits[:-1] / self.temperature).log_softmax(-1)


def answer_logp(policy: Policy, tokenizer, context: str, answer: str, span: str = "answer_and_brace") -> float:
    r"""Equation 6: log π(a* | context), context being `x + r`, summed over the tokens of one of the three spans."""
    ids, count = span_tokens(tokenizer, context + BOX, answer + "}")
    with torch.no_grad():
        values = policy.logps(ids, count).tolist()
    if span == "answer":
        # The last token is scored only if it begins before the brace.
        return math.fsum(values if len(token_bytes(tokenizer, ids[-1])) > 1 else values[:-1])
    if span == "answer_and_any_brace":
        own = token_bytes(tokenizer, ids[-1])
        alike = [other for other in range(len(tokenizer)) if token_bytes(tokenizer, other).startswith(own)]
        with torch.no_grad():
            last = [policy.logps([*ids[:-1], other], 1).item() for other in alike]
        values[-1] = math.log(math.fsum(math.exp(value) for value in last))
    return math.fsum(values)


def objective(
    new: torch.Tensor, old: torch.Tensor, reference: torch.Tensor, advantages: torch.Tensor, kl_coef: float
) -> torch.Tensor:
    """Equations 3 to 5 for one response: minus its J plus its weighted KL, means over its tokens."""
    ratio = (new - old).exp()
    surrogate = torch.minimum(ratio * advantages, ratio.clamp(1 - 0.2, 1 + 0.2) * advantages)
    gap = reference - new
    return -(surrogate - kl_coef * (gap.exp() - gap - 1)).mean()


@dataclass
class Method:
    """What the equations leave open: β, τ, DP, the bound, the KL weight, the floor and the scored span."""

    strength: float | None
    clip: float | None
    direction_preserving: bool
    kl_coef: float
    bound: str = "max_abs"
    floor: float = -30.0
    span: str = "answer_and_brace"


def chat(question: str, instruction: str) -> str:
    return f"<|im_start|>user\n{question}\n{instruction}<|im_end|>\n<|im_start|>assistant\n"


def rewards_and_prefixes(policy, tokenizer, rows: list[dict], completions: list[list[int]], method: Method):
    """Equation 6 for each response, and how many of its tokens are its reasoning prefix (0 where it is unusable)."""
    rewards, lengths = [], []
    for row, ids in zip(rows, completions, strict=True):
        parts = response_bytes(tokenizer, ids)
        written = b"".join(parts)
        start = written.rfind(BOX.encode())
        prefix, content = (
            written[: max(start, 0)].decode(errors="replace"),
            box_content(written.decode(errors="replace")),
        )
        usable = ids[-1] == tokenizer.eos_token_id and content and content.strip() and prefix.strip()
        context = chat(row["question"], INSTRUCTION) + prefix
        scored = answer_logp(policy, tokenizer, context, row["answer"], method.span) if usable else method.floor
        rewards.append(scored)
        lengths.append(parts_within(parts, start) if usable else 0)
    return rewards, lengths


def step(policy: Policy, tokenizer, rows: list[dict], completions: list[list[int]], group: int, method: Method):
    """Return one optimizer step's loss, and rewards and token advantages by response; `rows` repeat within a group."""
    rewards, lengths = rewards_and_prefixes(policy, tokenizer, rows, completions, method)
    advantages = [
        a for first in range(0, len(rewards), group) for a in group_advantages(rewards[first : first + group])
    ]
    losses, token_advantages = [], []
    for row, ids, length, advantage in zip(rows, completions, lengths, advantages, strict=True):
        prompt = tokenizer(chat(row["question"], INSTRUCTION))["input_ids"]
        with torch.no_grad():
            ref = policy.logps(prompt + ids, len(ids), adapter=False)
        spread = torch.full((len(ids),), advantage, dtype=torch.float64)
        if length and method.strength is not None:
            told = tokenizer(chat(row["question"], CONDITIONED) + f"\\boxed{{{row['answer']}}}\n")["input_ids"]
            with torch.no_grad():
                s = policy.logps(told + ids[:length], length) - ref[:length]
            parts = credit(
                advantage, s.tolist(), method.strength, method.clip, method.direction_preserving, method.bound
            )
            spread[:length] = torch.tensor(parts.advantages, dtype=torch.float64)
        token_advantages.append(spread)
        new = policy.logps(prompt + ids, len(ids))
        truncated = ids[-1] != tokenizer.eos_token_id
        losses.append(0 * new.sum() if truncated else objective(new, new.detach(), ref, spread, method.kl_coef))
    return sum(losses) / len(losses), rewards, token_advantages
