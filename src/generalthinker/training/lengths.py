"""Forward passes over sequences of similar length, without the padding of a batch that is as wide as its longest row.

Sampled responses differ much in length: in a batch that is padded to its longest one, two thirds of the positions can
be padding. Here rows are sorted by length and split into chunks of similar length, and every chunk is padded on the
right. No attention mask is needed then: a causal model's token never sees what follows it, and attention kernels are
fastest without a mask.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import chain, pairwise
from typing import Any
from unittest import mock

import torch
import trl.trainer.utils
from accelerate import Accelerator
from torch import Tensor

# (model inputs (b, l), labels (b, l), -100 where nothing is scored) → one or more tensors (b, l - 1), at each position
# the value of the token after it
Forward = Callable[[Tensor, Tensor], tuple[Tensor, ...]]

Batch = dict[str, Any]  # what TRL's loss receives: tensors whose first dimension is the responses, and scalars

# A forward pass takes at most this many positions, padding included, unless one row alone is longer: on a GPU fewer do
# not fill it; on a CPU more only pad more, and no longer fit its caches.
POSITIONS = {"cuda": 4096, "cpu": 1024}


def chunks(lengths: list[int], budget: int) -> list[list[int]]:
    """Return the rows 0, 1, … in groups of similar `lengths`, longest first; rows × longest of each is ≤ `budget`.

    A row longer than the budget is a group of its own. The order of rows of equal length is kept.
    """
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= budget:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def spread(groups: list[list[int]], calls: int) -> list[list[int]]:
    """Return the rows of `groups`, in their order, in at most `calls` lists of nearly equal numbers of groups."""
    count = min(calls, len(groups))
    starts = [len(groups) * call // count for call in range(count)] + [len(groups)]
    return [[*chain(*groups[first:stop])] for first, stop in pairwise(starts)]


def by_length(batches: list[dict[str, Any]], budget: Callable[[int], int], accelerator: Accelerator) -> list[Batch]:
    """Return a step's responses in as many batches as `batches`, each with responses of similar length.

    `batches` are those of TRL, which has shuffled the responses; their key `row` is the place before that. Responses
    that add nothing to the loss are left out. If they need fewer batches, the first ones are empty. `share` is the
    weight of a batch's mean loss in the step's, and `tokens` is the number of its scored tokens on all processes.
    """
    output = {
        key: torch.cat([batch[key] for batch in batches]) if value.dim() else value for key, value in batches[0].items()
    }

    def pick(rows: Any) -> Batch:
        return {key: value[rows] if value.dim() else value for key, value in output.items()}

    output = pick(output["row"].argsort())  # in this order, the chunks are those of the pass of the reference policy
    used = output["completion_mask"].any(dim=1)
    if "answer_weights" in output:
        used |= output["answer_weights"] != 0
    rows = used.nonzero().flatten()
    lengths = output["prompt_mask"].sum(dim=1) + output["completion_mask"].sum(dim=1)
    width = output["prompt_mask"].size(1) + output["completion_mask"].size(1)
    calls = spread(chunks(lengths[rows].tolist(), budget(width)), len(batches))
    calls = [[]] * (len(batches) - len(calls)) + [rows[call].tolist() for call in calls]
    # TRL and DDP communicate in every call: all processes need calls of the same number of rows. Rows are added without
    # labels, which are not passed through the model, except if a process would make no pass at all.
    counts = accelerator.gather(torch.tensor([len(call) for call in calls], device=used.device))
    sizes = counts.reshape(-1, len(batches)).max(dim=0).values.tolist()
    sizes[-1] = max(1, sizes[-1])
    filled = []
    for call, size in zip(calls, sizes, strict=True):
        batch = pick(call + [0] * (size - len(call)))
        for key in batch.keys() & {"completion_mask", "answer_weights"}:
            batch[key][len(call) :] = 0
        filled.append({**batch, "share": size * len(batches) / len(used)})
    tokens = accelerator.reduce(torch.stack([batch["completion_mask"].sum() for batch in filled]), reduction="sum")
    for batch, number in zip(filled, tokens.tolist(), strict=True):
        batch["tokens"] = number
    return [batch if batch["share"] else {} for batch in filled]


def scored_tokens(forward: Forward, ids: Tensor, mask: Tensor, keep: int, budget: int) -> tuple[Tensor, ...]:
    """Return what `forward` gives for the last `keep` tokens (B, keep) of each row; 0 for padding and a first token.

    `ids` and `mask` are (B, L); the tokens of a row, where its mask is 1, stand together. A pass has at most `budget`
    positions. Rows without a token to score are not passed through the model; if no row has one, the shortest is, so
    that the result is connected to the model's parameters.
    """
    first, lengths = mask.argmax(dim=1), mask.sum(dim=1)
    columns = torch.arange(ids.size(1) - keep, ids.size(1), device=ids.device)
    targets = mask[:, -keep:].bool() & (columns > first.unsqueeze(1))
    scored = targets.any(dim=1).nonzero().flatten().tolist() or [int(lengths.argmin())]
    row_lengths = lengths[scored].tolist()
    groups = [[scored[place] for place in group] for group in chunks(row_lengths, budget)]
    values = [_scored_chunk(forward, ids, first, lengths, rows, keep) for rows in groups]
    order = torch.tensor([*chain(*groups)], device=ids.device)
    wanted = targets[order]
    return tuple(
        flat.new_zeros(targets.shape).index_copy(0, order, flat.new_zeros(wanted.shape).masked_scatter(wanted, flat))
        for flat in (torch.cat(parts) for parts in zip(*values, strict=True))
    )


def _scored_chunk(
    forward: Forward, ids: Tensor, first: Tensor, lengths: Tensor, rows: list[int], keep: int
) -> tuple[Tensor, ...]:
    """Return the values of the scored tokens of `rows`, row after row (N,)."""
    picked = torch.tensor(rows, device=ids.device)
    first, lengths = first[picked].unsqueeze(1), lengths[picked].unsqueeze(1)
    places = torch.arange(int(lengths.max()), device=ids.device)
    shifted = ids[picked].gather(1, (first + places).clamp(max=ids.size(1) - 1))
    labelled = (places >= ids.size(1) - keep - first) & (places < lengths)
    outputs = forward(shifted, shifted.masked_fill(~labelled, -100))
    return tuple(values[labelled[:, 1:]] for values in outputs)


def labels_only() -> AbstractContextManager[object]:
    """Let TRL's fused head project only the labelled positions on CPUs too, as it does on GPUs.

    TRL projects all positions on other devices, to keep shapes constant for devices that compile for each shape.
    """
    return mock.patch.object(trl.trainer.utils, "_use_triton", return_value=True)
