"""Passes over responses of similar length: what is computed does not depend on how rows are grouped and padded."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from generalthinker.training import lengths
from generalthinker.training.lengths import chunks, scored_tokens, spread
from trainers import BeforeUpdate, lora, make, move_adapter, record_rollouts

ROWS = st.lists(st.integers(1, 40), max_size=30)
LOGGED = ("loss", "grad_norm", "kl", "entropy", "reward", "num_tokens", "completions/mean_length")


@given(ROWS, st.integers(1, 200))
def test_every_row_is_in_one_chunk_that_fits_the_budget(rows, budget):
    groups = chunks(rows, budget)
    assert sorted(row for group in groups for row in group) == list(range(len(rows)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(rows[row] for row in group) <= budget
    widths = [rows[row] for group in groups for row in group]
    assert widths == sorted(widths, reverse=True)


@given(ROWS, st.integers(1, 200), st.data())
def test_a_part_of_the_chunks_is_split_into_the_same_chunks_again(rows, budget, data):
    groups = chunks(rows, budget)
    first, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(groups))] * 2)))
    part = [row for group in groups[first:stop] for row in group]
    assert [[part[place] for place in group] for group in chunks([rows[row] for row in part], budget)] == groups[
        first:stop
    ]


@given(ROWS, st.integers(1, 200), st.integers(1, 12))
def test_calls_take_whole_chunks_in_their_order(rows, budget, calls):
    groups = chunks(rows, budget)
    spread_rows = spread(groups, calls)
    assert len(spread_rows) == min(calls, len(groups))
    assert all(spread_rows)
    assert [row for call in spread_rows for row in call] == [row for group in groups for row in group]


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 9)), min_size=1, max_size=8),
    st.integers(1, 60),
    st.integers(0, 3),
)
def test_scored_tokens_are_put_back_in_their_places(rows, budget, padding):
    """The forward pass gives each label's id, so that the result must be the ids of the scored tokens."""
    width, keep = max(prompt for prompt, _ in rows), max(1, max(own for _, own in rows)) + padding
    ids = torch.arange(1, len(rows) * (width + keep) + 1).reshape(len(rows), width + keep)
    mask = torch.zeros_like(ids)
    for row, (prompt, own) in enumerate(rows):
        mask[row, width - prompt : width + own] = 1
    passed = []

    def forward(inputs, labels):
        passed.append(inputs.shape)
        return (labels[:, 1:].clamp(min=0).double(),)

    [got] = scored_tokens(forward, ids, mask, keep, budget)
    assert torch.equal(got, (ids * mask)[:, -keep:].double())
    assert all(count == 1 or count * long <= budget for count, long in passed)
    assert sum(count for count, _ in passed) == max(1, sum(own > 0 for _, own in rows))


def test_a_first_token_has_no_probability():
    [got] = scored_tokens(
        lambda ids, labels: (ids[:, 1:].double(),), torch.tensor([[0, 7]]), torch.tensor([[0, 1]]), 1, 9
    )
    assert got.tolist() == [[0.0]]


def one_step(folder, model, grouped, monkeypatch, budget=200, method="GeneralThinker", **training):
    """Return trainer, its rollouts and the first step's gradients; all such trainers draw the same responses."""
    monkeypatch.setitem(lengths.POSITIONS, "cpu", budget)
    folder.mkdir()
    steps = {"max_steps": 2, "learning_rate": 1e-3, "kl_coef": 0.05, "max_grad_norm": 1e9, "max_completion_tokens": 24}
    _, _, trainer = make(folder, model, method, group_by_length=grouped, **steps | training)
    move_adapter(trainer)
    rollouts, before = record_rollouts(trainer), BeforeUpdate(trainer)
    trainer.add_callback(before)
    trainer.train()
    return trainer, rollouts, before.gradients


@pytest.mark.parametrize(
    ("method", "micro_batch", "checkpointing", "tolerance"),
    [
        ("Binary-RL", 4, False, 5e-6),
        ("Binary-RL", 2, True, 5e-6),
        # Its advantages depend on log-probabilities, whose rounding they amplify.
        ("GeneralThinker", 4, True, 1e-5),
        ("GeneralThinker", 16, False, 1e-5),
    ],
)
def test_a_grouped_step_equals_the_padded_one(
    tmp_path, tiny_model, monkeypatch, method, micro_batch, checkpointing, tolerance
):
    """Advantages, gradients and logs; the padded step has one micro-batch, so that its logs are means over tokens."""
    padded, [(_, wanted), *_], gradients = one_step(
        tmp_path / "padded", tiny_model, False, monkeypatch, method=method, micro_batch_size=16
    )
    training = {"method": method, "micro_batch_size": micro_batch, "gradient_checkpointing": checkpointing}
    grouped, [(_, output), *_], got = one_step(tmp_path / "grouped", tiny_model, True, monkeypatch, **training)
    assert torch.equal(output["completion_ids"], wanted["completion_ids"])
    lengths_of = output["completion_mask"].sum(dim=1)
    assert lengths_of.min() == 0, "a truncated response is left out"
    assert len(set(lengths_of.tolist())) > 4, "lengths differ"
    own, other = (one["ref_per_token_logps"] * one["completion_mask"] for one in (output, wanted))
    assert (own - other).norm() <= 1e-6 * other.norm()
    own, other = (torch.cat([part.flatten() for ab in one.values() for part in ab]) for one in (got, gradients))
    assert (own - other).norm() <= tolerance * other.norm()
    for logged, stock in zip(grouped.state.log_history[:2], padded.state.log_history[:2], strict=True):
        for name in LOGGED:
            assert logged[name] == pytest.approx(stock[name], rel=1e-5, abs=1e-6), name
        assert logged["kl"] > 0


def test_logged_means_do_not_depend_on_the_micro_batches(tmp_path, tiny_model, monkeypatch):
    logs = []
    for budget, micro_batch in ((60, 2), (4000, 16)):
        trainer, *_ = one_step(
            tmp_path / str(budget), tiny_model, True, monkeypatch, budget, micro_batch_size=micro_batch
        )
        logs.append(trainer.state.log_history[0])
    for name in LOGGED:
        assert logs[0][name] == pytest.approx(logs[1][name], rel=1e-5, abs=1e-7), name


@pytest.mark.parametrize("micro_batch", [2, 16])
def test_kl_is_exactly_zero_at_the_first_step(tmp_path, tiny_model, monkeypatch, micro_batch):
    monkeypatch.setitem(lengths.POSITIONS, "cpu", 200)
    _, _, trainer = make(tmp_path, tiny_model, "GeneralThinker", max_steps=1, micro_batch_size=micro_batch)
    trainer.train()
    assert trainer.state.log_history[0]["kl"] == 0.0


def test_a_step_of_truncated_responses_alone_moves_nothing(tmp_path, tiny_model):
    _, _, trainer = make(
        tmp_path, tiny_model, "GeneralThinker", max_steps=2, max_completion_tokens=2, micro_batch_size=4
    )
    move_adapter(trainer)
    before = lora(trainer)
    trainer.train()
    assert trainer.state.log_history[0]["completions/clipped_ratio"] == 1.0
    assert trainer.state.log_history[0]["loss"] == 0.0
    assert all(torch.equal(a, b) for name in before for a, b in zip(before[name], lora(trainer)[name], strict=True))


def test_an_attention_mask_is_not_built(tmp_path, tiny_model, monkeypatch):
    """Without a mask, attention runs in its fast kernels; a mask of ones would be built for every layer."""
    masks, forward = [], AutoModelForCausalLM.from_pretrained(tiny_model).model.__class__.forward

    def watched(model, *args, **kwargs):
        masks.append(kwargs.get("attention_mask"))
        return forward(model, *args, **kwargs)

    _, _, trainer = make(tmp_path, tiny_model, "GeneralThinker", max_steps=1)
    monkeypatch.setattr(trainer, "_generate_single_turn", lambda prompts, *rest: ([[5, 6, 2]] * len(prompts), None))
    monkeypatch.setattr(type(trainer.model.get_base_model().model), "forward", watched)
    trainer.train()
    assert masks
    assert all(mask is None for mask in masks)
