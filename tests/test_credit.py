"""Token-level credit: equations 8 to 14 against the reference, and properties that hold for any input."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import method_reference as reference
from generalthinker.credit import modulate, token_advantages

VARIANTS = {
    "AM only": {},
    "AM+TC": {"clip_threshold": 2.0},
    "AM+DP": {"direction_preserving": True},
    "Full": {"clip_threshold": 2.0, "direction_preserving": True},
    "tight Full": {"clip_threshold": 0.5, "direction_preserving": True},
}
BOUNDS = ["max_abs", "tanh", "zero_sum"]
FLOAT = {torch.float32: 2e-5, torch.float64: 1e-10}
# Differences as models give them, and edge cases: tiny spreads, outliers, equal values. All are float32's own numbers.
differences = st.floats(-30, 30, width=32) | st.sampled_from([0.0, 2.0**-23, -(2.0**-23), 5.0, 5.0 + 2.0**-20])
# Values that are nearly equal but far from 0: a naive mean rounds their small differences away.
narrow = st.builds(
    lambda base, steps, unit: [base + step * unit for step in steps],
    st.floats(-20, 20, width=16),
    st.lists(st.integers(-2, 2), min_size=2, max_size=90),
    st.sampled_from([2.0**-18, 2.0**-12, 2.0**-4]),
)
prefixes = st.lists(differences, max_size=12) | narrow
response_advantages = st.floats(-5, 5, width=32).filter(lambda a: a == 0 or abs(a) > 1e-3)


@dataclass
class Batch:
    advantages: list[float]
    signals: list[list[float]]
    tails: list[int]

    def tensors(self, dtype=torch.float64, left=0, right=0, outside=0.0):
        """Return rows as the trainer lays them out: prefix first, then the answer's tokens, padded to one width."""
        width = max(len(s) + tail for s, tail in zip(self.signals, self.tails, strict=True))
        signal = torch.full((len(self.signals), left + width + right), outside, dtype=dtype)
        mask = torch.zeros(signal.shape, dtype=torch.bool)
        for row, s in enumerate(self.signals):
            signal[row, left : left + len(s)] = torch.tensor(s, dtype=dtype)
            mask[row, left : left + len(s)] = True
        return torch.tensor(self.advantages, dtype=dtype), signal, mask


@st.composite
def batches(draw):
    size = draw(st.integers(1, 4))
    return Batch(
        [draw(response_advantages) for _ in range(size)],
        [draw(prefixes) for _ in range(size)],
        [draw(st.integers(1, 3)) for _ in range(size)],
    )


variants = st.sampled_from(list(VARIANTS.values()))
bounds = st.sampled_from(BOUNDS)
dtypes = st.sampled_from(list(FLOAT))
strengths = st.floats(0.01, 0.98)


def expected(batch, strength, bound="max_abs", clip_threshold=None, direction_preserving=False):
    return [
        reference.credit(a, s, strength, clip_threshold, direction_preserving, bound)
        for a, s in zip(batch.advantages, batch.signals, strict=True)
    ]


@given(batches(), variants, bounds, dtypes, strengths)
def test_every_variant_equals_the_reference(batch, variant, bound, dtype, strength):
    got = token_advantages(*batch.tensors(dtype), strength=strength, bound=bound, **variant)
    assert got.dtype == dtype
    for row, credit in zip(got, expected(batch, strength, bound, **variant), strict=True):
        wanted = torch.tensor(credit.advantages, dtype=dtype)
        torch.testing.assert_close(row[: len(wanted)], wanted, atol=FLOAT[dtype], rtol=FLOAT[dtype])


@given(batches(), variants, bounds, dtypes, strengths)
def test_modulation_adds_up_to_nothing_within_a_prefix(batch, variant, bound, dtype, strength):
    assume(bound != "tanh" or "direction_preserving" not in variant)
    advantages, signal, mask = batch.tensors(dtype)
    change = token_advantages(advantages, signal, mask, strength=strength, bound=bound, **variant)
    change = change - advantages[:, None]
    torch.testing.assert_close(change.sum(1), torch.zeros_like(advantages), atol=FLOAT[dtype], rtol=0)


@given(batches(), st.sampled_from([None, 0.5, 2.0]), bounds, dtypes, strengths)
def test_direction_preserving_never_changes_a_sign(batch, clip, bound, dtype, strength):
    advantages, signal, mask = batch.tensors(dtype)
    done = modulate(
        advantages, signal, mask, strength=strength, clip_threshold=clip, direction_preserving=True, bound=bound
    )
    assert torch.equal(done.advantages.sign(), advantages.sign()[:, None].expand_as(signal))
    assert done.sign_flip_ratio == 0


@given(batches(), st.floats(0.1, 5), dtypes)
def test_a_clipped_and_recentred_signal_is_bounded_by_twice_the_threshold(batch, clip, dtype):
    advantages, signal, mask = batch.tensors(dtype)
    changed = token_advantages(torch.zeros_like(advantages), signal, mask, strength=0.5, clip_threshold=clip)
    assert (changed.abs() <= 0.5 * 2 * clip * (1 + 1e-5)).all()


@given(batches(), variants, bounds, dtypes, st.sampled_from([0.0, -40.0, torch.inf, torch.nan]))
def test_nothing_outside_the_prefix_changes_or_matters(batch, variant, bound, dtype, outside):
    advantages, signal, mask = batch.tensors(dtype, outside=outside)
    got = token_advantages(advantages, signal, mask, strength=0.3, bound=bound, **variant)
    assert torch.equal(got[~mask], advantages[:, None].expand_as(signal)[~mask])
    clean = token_advantages(*batch.tensors(dtype), strength=0.3, bound=bound, **variant)
    assert torch.equal(got, clean)


@given(batches(), variants, bounds, dtypes, st.integers(0, 9), st.integers(0, 9))
def test_padding_on_either_side_never_changes_a_value(batch, variant, bound, dtype, left, right):
    plain = token_advantages(*batch.tensors(dtype), strength=0.3, bound=bound, **variant)
    padded = token_advantages(*batch.tensors(dtype, left, right), strength=0.3, bound=bound, **variant)
    inside = padded[:, left : left + plain.size(1)]
    torch.testing.assert_close(inside, plain, atol=FLOAT[dtype] / 10, rtol=FLOAT[dtype] / 10)


@given(batches(), variants, bounds, dtypes, st.randoms(use_true_random=False))
def test_permuting_the_batch_permutes_the_result(batch, variant, bound, dtype, random):
    order = random.sample(range(len(batch.signals)), len(batch.signals))
    advantages, signal, mask = batch.tensors(dtype)
    plain = token_advantages(advantages, signal, mask, strength=0.3, bound=bound, **variant)
    permuted = token_advantages(advantages[order], signal[order], mask[order], strength=0.3, bound=bound, **variant)
    torch.testing.assert_close(permuted, plain[order], atol=FLOAT[dtype] / 10, rtol=FLOAT[dtype] / 10)


@given(differences, st.integers(0, 300), response_advantages, variants, bounds, dtypes)
def test_empty_one_token_and_constant_prefixes_keep_the_response_advantage(value, length, a, variant, bound, dtype):
    advantages, signal, mask = Batch([a, a], [[value] * length, [value]], [1, 1]).tensors(dtype)
    done = modulate(advantages, signal, mask, strength=0.5, bound=bound, **variant)
    assert torch.equal(done.advantages, advantages[:, None].expand_as(signal))
    assert (done.clip_ratio, done.sign_flip_ratio) == (0, 0)


@given(batches(), st.sampled_from([0.5, 1.0, 2.0]), st.booleans(), strengths)
def test_clip_and_sign_flip_ratios_equal_the_reference(batch, clip, direction_preserving, strength):
    credits = expected(batch, strength, "max_abs", clip, direction_preserving)
    m = [value for credit in credits for value in credit.m]
    pairs = [(a, t) for a, c in zip(batch.advantages, credits, strict=True) for t in c.advantages]
    # Within float error of a limit either answer is right.
    assume(all(abs(abs(value) - clip) > 1e-9 for value in m) and all(t == 0 or abs(t) > 1e-9 for _, t in pairs))
    done = modulate(*batch.tensors(), strength=strength, clip_threshold=clip, direction_preserving=direction_preserving)
    count = max(1, len(m))
    assert done.clip_ratio.item() == pytest.approx(sum(abs(value) > clip for value in m) / count)
    assert done.sign_flip_ratio.item() == pytest.approx(sum(a * t < 0 for a, t in pairs) / count)


def test_a_small_example_by_hand():
    advantages, signal, mask = Batch([2.0, -1.0], [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 4.0]], [1, 1]).tensors()
    done = modulate(advantages, signal, mask, strength=0.1, clip_threshold=1.0, direction_preserving=True)
    # First row: m = (−1.22, 0, 1.22), clipped to ±1. Second: m = (−0.58 ×3, 1.73), 1.73 clipped, so w = (−⅓ ×3, 1).
    torch.testing.assert_close(done.advantages[0, :3], torch.tensor([1.8, 2.0, 2.2], dtype=torch.float64))
    third = -1 - 0.1 / 3
    torch.testing.assert_close(done.advantages[1, :4], torch.tensor([third] * 3 + [-0.9], dtype=torch.float64))
    assert done.clip_ratio.item() == pytest.approx(3 / 7)


def test_additive_modulation_can_flip_a_sign_and_is_counted():
    advantages, signal, mask = Batch([0.1], [[0.0, 0.0, 0.0, 4.0]], [0]).tensors()
    done = modulate(advantages, signal, mask, strength=0.5)
    assert (done.advantages[0] < 0).tolist() == [True, True, True, False]
    assert done.sign_flip_ratio == 0.75
    assert done.clip_ratio == 0, "without token clipping nothing is clipped"


@pytest.mark.parametrize("shapes", [((3,), (2, 5), (2, 5)), ((2,), (2, 5), (2, 4)), ((2, 5), (2, 5), (2, 5))])
def test_shapes_that_do_not_fit_are_refused(shapes):
    advantages, signal, mask = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"expected advantages \(B,\), signal \(B, T\)"):
        modulate(advantages, signal, mask, strength=0.1)


def test_an_unknown_bound_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'max_abs', 'tanh' or 'zero_sum'"):
        modulate(
            torch.zeros(1), torch.randn(1, 3), torch.ones(1, 3), strength=0.1, direction_preserving=True, bound="x"
        )


def test_no_gradient_flows_through_credit():
    done = token_advantages(torch.ones(1), torch.randn(1, 3, requires_grad=True), torch.ones(1, 3), strength=0.1)
    assert not done.requires_grad


def test_completions_without_tokens_are_refused():
    with pytest.raises(ValueError, match="expected at least one token per response"):
        modulate(torch.ones(2), torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool), strength=0.1)
