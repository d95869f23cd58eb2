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
from trl import GRPOTrainer

# (model inputs (b, l), labels (b, l), IGNORED where nothing is scored) → one or more tensors (b, l - 1), at each place
# the value of the token after it
Forward = Callable[[Tensor, Tensor], tuple[Tensor, ...]]

Batch = dict[str, Any]  # what TRL's loss receives: tensors whose first dimension is the responses, and scalars

# A forward pass takes at most this many positions, padding included, unless one row alone is longer: on a GPU fewer do
# not fill it; on a CPU more only pad more, and no longer fit its caches.
POSITIONS = {"cuda": 4096, "cpu": 1024}

IGNORED = -100  # the label of a token that is not scored

# TRL logs these per backward pass, each as a mean over the pass's tokens.
PER_TOKEN_METRICS = ("kl", "entropy", "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean")


class LengthGroupingTrainer(GRPOTrainer):
    """TRL's trainer with passes over responses of similar length; without `group_by_length` it is TRL's as it is."""

    # TRL's types also allow no batches and no model.
    _buffered_inputs: Any
    args: Any

    def __init__(self, *, group_by_length: bool, **trl: Any) -> None:
        self.group_by_length = group_by_length
        self._calls: list[Batch] = []  # the inputs of the step's backward passes
        super().__init__(**trl)

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False, **others
    ):
        if not self.group_by_length:
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **others
            )

        def forward(ids: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
            with self.accelerator.autocast(), labels_only():
                outputs = model(input_ids=ids, labels=labels, fused_lm_head=True)
            return (outputs.log_probs, outputs.entropy) if compute_entropy else (outputs.log_probs,)

        scored = scored_tokens(forward, input_ids, attention_mask, logits_to_keep, self._positions(input_ids.size(1)))
        return scored[0], scored[1] if compute_entropy else None, None

    def _positions(self, width: int) -> int:
        """Return the most positions of a pass: those of a micro-batch padded to `width`, or fewer."""
        return min(POSITIONS[self.accelerator.device.type], self.args.per_device_train_batch_size * width)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        output["row"] = torch.arange(len(inputs), device=output["completion_ids"].device)
        return output

    def _prepare_inputs(self, generation_batch):
        inputs = super()._prepare_inputs(generation_batch)
        if not self.group_by_length:
            return inputs
        if self._buffered_inputs is not self._calls:
            self._buffered_inputs = self._calls = by_length(self._buffered_inputs, self._positions, self.accelerator)
        return self._calls[self._step % len(self._calls)]

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return what a micro-batch adds to the step's loss: its own loss, weighted by its share of the responses."""
        if not inputs:
            return next(parameter for parameter in model.parameters() if parameter.requires_grad).sum() * 0
        if not self.group_by_length:
            return self.batch_loss(model, inputs)
        last, tokens = inputs is self._calls[-1], [call["tokens"] for call in self._calls if call]
        if self.loss_type == "dapo":  # a mean over the step's tokens, whichever responses they belong to
            scale = len(self._calls) * inputs["tokens"]
            weight = scale / max(1, sum(tokens))
            inputs = {**inputs, "num_items_in_batch": torch.tensor(scale, device=inputs["completion_ids"].device)}
        else:
            weight = inputs["share"]
        loss = self.batch_loss(model, inputs)
        if last:
            self._weight_by_tokens(tokens)
        return loss * weight

    def batch_loss(self, model, inputs: Batch) -> Tensor:
        """Return the mean loss of a micro-batch's responses, divided by the number of micro-batches."""
        return super().compute_loss(model, inputs)

    def _weight_by_tokens(self, tokens: list[int]) -> None:
        """Replace the values that TRL has logged for each call of this step by their means over the step's tokens."""
        for name in PER_TOKEN_METRICS:
            logged = self._metrics["train"].get(name)
            if logged:
                own = zip(logged[-len(tokens) :], tokens, strict=True)
                logged[-len(tokens) :] = [sum(value * count for value, count in own) / max(1, sum(tokens))]


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
    outputs = forward(shifted, shifted.masked_fill(~labelled, IGNORED))
    return tuple(values[labelled[:, 1:]] for values in outputs)


def labels_only() -> AbstractContextManager[object]:
    """Let TRL's fused head project only the labelled positions on CPUs too, as it does on GPUs.

    TRL projects all positions on other devices, to keep shapes constant for devices that compile for each shape.
    """
    return mock.patch.object(trl.trainer.utils, "_use_triton", return_value=True)
