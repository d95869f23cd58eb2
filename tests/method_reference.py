r"""The method once more, from its equations alone: float64, one response at a time, plain Python where tensors allow.

Nothing of the package is imported, so that agreement means something. Equation numbers are those of docs/method.md.
"""

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


def split_at_box(response: str) -> tuple[str, str] | None:
    r"""Return (prefix, content) at the last `\boxed{` with balanced braces; None where it never closes."""
    start = response.rfind(BOX)
    if start < 0:
        return None
    depth, position = 1, start + len(BOX)
    while position < len(response):
        character = response[position]
        if character == "\\":
            position += 2
            continue
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return response[:start], response[start + len(BOX) : position]
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


def tokens_within(tokenizer, ids: list[int], prefix: str) -> int:
    """Return how many leading tokens end at or before the prefix's last byte."""
    end, count = 0, 0
    for token_id in ids:
        end += len(token_bytes(tokenizer, token_id))
        if end > len(prefix.encode()):
            break
        count += 1
    return count


def span_tokens(tokenizer, context: str, span: str) -> tuple[list[int], int]:
    """Return the tokens of `context + span` and how many at the end reach into `span`."""
    ids = tokenizer(context + span, add_special_tokens=False)["input_ids"]
    return ids, len(ids) - tokens_within(tokenizer, ids, context)


class Policy:
    """A causal language model in float64 with LoRA written out as W + scale · B A; one sequence, no padding, no cache."""

    def __init__(self, model, lora: dict[str, tuple[torch.Tensor, torch.Tensor]] | None = None, scale: float = 0.0):
        self.model = model.double().eval()
        self.lora = {name: (a.double(), b.double()) for name, (a, b) in (lora or {}).items()}
        self.scale = scale

    def logps(self, ids: list[int], count: int, adapter: bool = True) -> torch.Tensor:
        """Return log π of the last `count` tokens, each given all before it."""
        changed = {}
        if adapter:
            for name, (a, b) in self.lora.items():
                changed[f"{name}.weight"] = self.model.get_parameter(f"{name}.weight").detach() + self.scale * (b @ a)
        logits = torch.func.functional_call(self.model, changed, (torch.tensor([ids]),)).logits[0]
        everything = logits[:-1].log_softmax(-1).gather(1, torch.tensor(ids[1:]).unsqueeze(1)).squeeze(1)
        return everything[len(everything) - count :]


def answer_logp(policy: Policy, tokenizer, context: str, answer: str) -> float:
    r"""Equation 6: log π(a* | context), context being `x + r`, summed over the tokens that overlap `a*}`."""
    ids, count = span_tokens(tokenizer, context + BOX, answer + "}")
    with torch.no_grad():
        return policy.logps(ids, count).sum().item()


def objective(
    new: torch.Tensor, old: torch.Tensor, reference: torch.Tensor, advantages: torch.Tensor, kl_coef: float
) -> torch.Tensor:
    """Equations 3 to 5 for one response: minus its J plus its weighted KL, means over its tokens."""
    ratio = (new - old).exp()
    surrogate = torch.minimum(ratio * advantages, ratio.clamp(1 - 0.2, 1 + 0.2) * advantages)
    gap = reference - new
    return -(surrogate - kl_coef * (gap.exp() - gap - 1)).mean()
