"""Teacher-forced scoring under a policy: text spans for rewards, reasoning tokens for credit. No gradients."""

import bisect
from collections.abc import Callable

import torch
from torch import Tensor

# (model inputs (B, L), attention mask (B, L), K) → log-probabilities (B, K) of the last K input tokens
TokenLogps = Callable[[Tensor, Tensor, int], Tensor]


def span_logps(
    tokenizer, token_logps: TokenLogps, contexts: list[str], spans: list[str], device: torch.device
) -> list[list[float]]:
    """Return, per pair, the log-probability (nats) of each token overlapping `span` in `context + span`.

    The whole text is tokenised once and the boundary found by character offsets, so a token that spans it is scored
    whole. `span` must not be empty.
    """
    if not contexts:
        return []
    texts = [context + span for context, span in zip(contexts, spans, strict=True)]
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    lengths = [
        sum(end > len(context) for _, end in offsets)
        for context, offsets in zip(contexts, encoded["offset_mapping"], strict=True)
    ]
    ids, mask = left_pad(encoded["input_ids"], tokenizer.pad_token_id, device)
    logps = token_logps(ids, mask, max(lengths)).tolist()
    return [row[len(row) - length :] for row, length in zip(logps, lengths, strict=True)]


def left_pad(sequences: list[list[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids and mask (B, L), every sequence at the right end."""
    longest = max(map(len, sequences))
    ids = torch.full((len(sequences), longest), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, longest - len(sequence) :] = torch.tensor(sequence)
        mask[row, longest - len(sequence) :] = 1
    return ids.to(device), mask.to(device)


def prefix_tokens(tokenizer, completion_ids: list[int], prefix: str) -> int:
    """Return |r|: how many leading tokens of the completion lie wholly within its first `len(prefix)` characters."""

    def characters(count: int) -> int:
        # An unfinished multi-byte character decodes to one replacement mark, so this never falls as tokens are added.
        return len(tokenizer.decode(completion_ids[:count], skip_special_tokens=True))

    return bisect.bisect_right(range(1, len(completion_ids) + 1), len(prefix), key=characters)
