"""Teacher-forced log-probabilities of text spans, and the token positions that belong to spans and prefixes."""

import bisect
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

# (model inputs (B, L), attention mask (B, L), K) → log-probabilities (B, K) of the last K input tokens
TokenLogps = Callable[[Tensor, Tensor, int], Tensor]


def span_logps(
    tokenizer,
    token_logps: TokenLogps,
    contexts: list[str],
    spans: list[str],
    device: torch.device,
    after: list[str] | None = None,
) -> list[list[float]]:
    """Return, per pair, the log-probability (nats) of each token overlapping `span` in `context + span + after`.

    The text is tokenised as a whole and the span's tokens are selected by character offsets; a token that crosses a
    boundary of the span is included. `span` must not be empty; `after` is not scored.
    """
    if not contexts:
        return []
    encoded, ranges = encode_spans(tokenizer, contexts, spans, after)
    ids, mask = left_pad(encoded, tokenizer.pad_token_id, device)
    keep = max(len(tokens) - first for tokens, (first, _) in zip(encoded, ranges, strict=True))
    logps = token_logps(ids, mask, keep).tolist()
    return [
        row[keep - len(tokens) + first : keep - len(tokens) + stop]
        for row, tokens, (first, stop) in zip(logps, encoded, ranges, strict=True)
    ]


def encode_spans(
    tokenizer, contexts: list[str], spans: list[str], after: list[str] | None = None
) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Return the tokens of `context + span + after`, and the range [first, stop) of those that overlap the span."""
    following: Sequence[str] = after or [""] * len(spans)
    texts = ["".join(parts) for parts in zip(contexts, spans, following, strict=True)]
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    ranges = []
    for context, span, offsets in zip(contexts, spans, encoded["offset_mapping"], strict=True):
        first = sum(end <= len(context) for _, end in offsets)
        stop = sum(start < len(context) + len(span) for start, _ in offsets)
        ranges.append((first, stop))
    return encoded["input_ids"], ranges


def tokens_beginning(tokenizer) -> Callable[[int], list[int]]:
    """Return a function from a token to all tokens whose text begins with that token's text, itself among them."""
    vocabulary = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))

    @cache
    def beginning_with(token: int) -> list[int]:
        return [other for other, text in enumerate(vocabulary) if text.startswith(vocabulary[token])]

    return beginning_with


def left_pad(sequences: list[list[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids and attention mask (B, L) of the sequences, padded on the left."""
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
        # This never decreases with `count`, because an incomplete multi-byte character decodes to one character.
        return len(tokenizer.decode(completion_ids[:count], skip_special_tokens=True))

    return bisect.bisect_right(range(1, len(completion_ids) + 1), len(prefix), key=characters)
