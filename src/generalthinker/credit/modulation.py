"""Advantage modulation, token clipping and the direction-preserving bound, as pure tensor functions.

B is the number of responses, T the padded number of completion tokens. The functions need no model and no trainer.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Bound = Literal["max_abs", "tanh", "zero_sum"]
STD_EPSILON = 1e-6


class Modulation(NamedTuple):
    """What `modulate` returns: token advantages, two ratios for monitoring, and the intermediate quantities.

    `advantages` (B, T); `clip_ratio` is the share of prefix tokens with |m| > τ, `sign_flip_ratio` the share whose
    advantage has the opposite sign of the response's. Both are scalars, 0 if no token is in a prefix. `m`, `clipped`
    (m̄) and `weights` (w) are (B, T); `weights` is None without the direction-preserving bound.
    """

    advantages: Tensor
    clip_ratio: Tensor
    sign_flip_ratio: Tensor
    m: Tensor
    clipped: Tensor
    weights: Tensor | None


def token_advantages(
    advantages: Tensor,
    signal: Tensor,
    prefix_mask: Tensor,
    *,
    strength: float,
    clip_threshold: float | None = None,
    direction_preserving: bool = False,
    bound: Bound = "max_abs",
) -> Tensor:
    """Return only the token advantages (B, T) of `modulate`."""
    return modulate(
        advantages,
        signal,
        prefix_mask,
        strength=strength,
        clip_threshold=clip_threshold,
        direction_preserving=direction_preserving,
        bound=bound,
    ).advantages


@torch.no_grad()
def modulate(
    advantages: Tensor,
    signal: Tensor,
    prefix_mask: Tensor,
    *,
    strength: float,
    clip_threshold: float | None = None,
    direction_preserving: bool = False,
    bound: Bound = "max_abs",
) -> Modulation:
    """Distribute the response advantages (B,) over tokens according to the signal s (B, T) of equation 7.

    `prefix_mask` (B, T) is True on reasoning tokens; tokens outside keep the response's advantage. `strength` is β,
    `clip_threshold` τ (None: no token clipping). Raises ValueError if shapes disagree, T is 0
    or `bound` is unknown.
    """
    if signal.shape != prefix_mask.shape or advantages.shape != signal.shape[:1]:
        raise ValueError(
            f"expected advantages (B,), signal (B, T) and prefix_mask (B, T); found {tuple(advantages.shape)}, "
            f"{tuple(signal.shape)} and {tuple(prefix_mask.shape)}"
        )
    if not signal.size(1):
        raise ValueError("expected at least one token per response (T > 0); found T = 0: the completions are empty")
    mask = prefix_mask.bool()
    response = advantages.unsqueeze(1).expand_as(signal)
    m = normalise(signal, mask)
    clipped = m if clip_threshold is None else clip_and_recentre(m, mask, clip_threshold)
    if direction_preserving:
        weights = bounded_weights(clipped, mask, bound)
        modulated = response + strength * response.abs() * weights  # equation 14
    else:
        weights = None
        modulated = response + strength * clipped  # equation 10
    modulated = torch.where(mask, modulated, response)

    tokens = mask.sum().clamp(min=1)
    beyond = (m.abs() > clip_threshold) & mask if clip_threshold is not None else torch.zeros_like(mask)
    flipped = (modulated * response < 0) & mask
    return Modulation(modulated, beyond.sum() / tokens, flipped.sum() / tokens, m, clipped, weights)


def normalise(signal: Tensor, mask: Tensor) -> Tensor:
    """Return m (B, T), equations 8 and 9: s centred and scaled within each prefix, 0 outside it or if s is constant."""
    centred = torch.where(mask, signal - _mean(signal, mask), 0.0)
    # Centre again: in float32, rounding of a large mean can exceed the standard deviation of the signal.
    centred = torch.where(mask, centred - _mean(centred, mask), 0.0)
    std = _mean(centred.square(), mask).sqrt()
    highest = torch.where(mask, signal, -torch.inf).amax(dim=1, keepdim=True)
    lowest = torch.where(mask, signal, torch.inf).amin(dim=1, keepdim=True)
    # A constant signal differs from its mean by rounding errors only; dividing by epsilon would amplify them.
    return torch.where(highest > lowest, centred / (std + STD_EPSILON), 0.0)


def clip_and_recentre(m: Tensor, mask: Tensor, threshold: float) -> Tensor:
    """Return m̄ (B, T), equation 11: m clipped to ±τ, then centred again within each prefix."""
    clipped = m.clamp(-threshold, threshold)
    return torch.where(mask, clipped - _mean(clipped, mask), 0.0)


def bounded_weights(m: Tensor, mask: Tensor, bound: Bound) -> Tensor:
    """Return w (B, T) with |w| ≤ 1 from m̄ (B, T): equations 12 and 13 (`max_abs`), or one of the two variants."""
    if bound == "max_abs":
        largest = m.abs().amax(dim=1, keepdim=True)
        return torch.where(largest > 0, m / largest.clamp(min=torch.finfo(m.dtype).tiny), 0.0)
    if bound == "tanh":
        return m.tanh()
    if bound == "zero_sum":
        return _project_zero_sum(m, mask)
    raise ValueError(f"bound = {bound!r}: expected 'max_abs', 'tanh' or 'zero_sum'")


def _project_zero_sum(m: Tensor, mask: Tensor) -> Tensor:
    """Return the Euclidean projection of m (B, T) on {|w| ≤ 1, Σ w = 0}: w = clip(m − λ, −1, 1) for one λ per row."""
    low = m.amin(dim=1, keepdim=True) - 1
    high = m.amax(dim=1, keepdim=True) + 1
    # Σ clip(m − λ) decreases as λ grows, so bisection finds λ; 60 halvings reach the precision of float64.
    for _ in range(60):
        middle = (low + high) / 2
        too_small = torch.where(mask, (m - middle).clamp(-1, 1), 0.0).sum(dim=1, keepdim=True) > 0
        low, high = torch.where(too_small, middle, low), torch.where(too_small, high, middle)
    return torch.where(mask, (m - (low + high) / 2).clamp(-1, 1), 0.0)


def _count(mask: Tensor) -> Tensor:
    return mask.sum(dim=1, keepdim=True).clamp(min=1)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values, 0.0).sum(dim=1, keepdim=True) / _count(mask)
