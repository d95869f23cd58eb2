"""The controls of GeneralThinker: what they change of its modulation, and what they leave as it is."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from generalthinker.methods.controls import ModulationControl, gated, uncertain
from generalthinker.methods.generalthinker import GeneralThinker
from generalthinker.methods.method import Responses, TokenCredit

CHANGES = ("gate", "shuffled", "negated", "random")
rows = st.lists(st.lists(st.floats(-4, 4), min_size=0, max_size=12), min_size=1, max_size=4)


class Signals(Responses):
    """Responses with a given signal on their first tokens, and the seeds and entropies that a trainer would give."""

    def __init__(self, signals, advantages=None, seeds=None):
        width = max(1, *map(len, signals)) + 1
        self.s = torch.tensor([[*row, *[7.0] * (width - len(row))] for row in signals], dtype=torch.float64)
        self.prefix_mask = torch.arange(width) < torch.tensor([[len(row)] for row in signals])
        given = advantages or [1.0 - 0.7 * i for i in range(len(signals))]
        self.advantages = torch.tensor(given, dtype=torch.float64)
        self.seeds = seeds or [*range(len(signals))]
        self.rollouts, self.tokenizer = [], None

    def logps(self, prompts=None, policy="current"):
        return self.s if prompts is not None else torch.zeros_like(self.s)

    def entropies(self):
        return self.s.abs()

    def of_all_processes(self, values):
        return values


def modulation(method, responses):
    """Return w (B, T) of the method's token advantages: 0 where they are the response's."""
    advantages = method.token_credit(responses).advantages
    response = responses.advantages.unsqueeze(1)
    return (advantages - response) / (method.modulation_strength * response.abs())


def control(change, **settings):
    return ModulationControl(family="modulation_control", change=change, **settings)


FULL = GeneralThinker(family="generalthinker")


@given(rows)
def test_controls_keep_size_zero_sum_and_place_of_the_modulation(signals):
    responses = Signals(signals)
    true = modulation(FULL, responses)
    for change in CHANGES:
        changed = modulation(control(change), responses)
        assert changed[~responses.prefix_mask].abs().max() < 1e-9, "nothing outside the reasoning changes"
        assert changed.abs().max() <= 1 + 1e-9
        torch.testing.assert_close(
            changed.sum(dim=1), torch.zeros(len(signals), dtype=torch.float64), atol=1e-6, rtol=0
        )
    torch.testing.assert_close(modulation(control("negated"), responses), -true)
    shuffled = modulation(control("shuffled"), responses)
    torch.testing.assert_close(shuffled.sort(dim=1).values, true.sort(dim=1).values)
    sizes = modulation(control("random"), responses).abs().amax(dim=1)
    long_enough = responses.prefix_mask.sum(dim=1) > 1
    torch.testing.assert_close(sizes[long_enough], torch.ones_like(sizes[long_enough]), atol=1e-5, rtol=0)


def test_the_random_controls_depend_on_nothing_but_the_seed_of_the_response():
    signals = [[0.1 * i * i, -0.2 * i, 3.0, 1.0, -2.0, 0.5] for i in range(3)]
    for change in ("shuffled", "random"):
        together = modulation(control(change), Signals(signals, seeds=[11, 12, 13]))
        alone = [
            modulation(control(change), Signals([row], [1.0 - 0.7 * i], [11 + i])) for i, row in enumerate(signals)
        ]
        torch.testing.assert_close(together, torch.cat(alone))
        other = modulation(control(change), Signals(signals, seeds=[21, 22, 23]))
        assert not torch.allclose(together, other)
    noise = [modulation(control("random"), Signals([row], [1.0], [5])) for row in signals]
    assert all(torch.equal(a, b) for a, b in itertools.pairwise(noise)), "the true signal plays no part"


def test_the_gates_worked_example():
    responses = Signals([[0.1, 0.9, 0.5, 0.2]], [1.0])
    gate = uncertain(responses, 0.5)
    assert gate.tolist() == [[False, True, True, False, False]], "at least the threshold 0.35"
    m = torch.tensor([[2.0, 1.0, 0.0, -3.0, 0.0]], dtype=torch.float64)
    credit = gated(TokenCredit(m, {}, {"clipped": m}), responses, gate, 0.1)
    torch.testing.assert_close(credit.quantities["w"], torch.tensor([[0, 0.5, -0.5, 0, 0]], dtype=torch.float64))
    wanted = torch.tensor([[1, 1.05, 0.95, 1, 1]], dtype=torch.float64)
    torch.testing.assert_close(credit.advantages, wanted)


@given(rows, st.floats(0.05, 1.0))
def test_the_gate_lets_the_least_certain_share_of_all_reasoning_tokens_through(signals, share):
    responses = Signals(signals)
    gate = uncertain(responses, share)
    inside = responses.prefix_mask
    assert not (gate & ~inside).any()
    entropies = responses.entropies()
    if (inside & ~gate).any():
        assert entropies[gate].min() > entropies[inside & ~gate].max()
    if inside.any():
        assert int(gate.sum()) >= max(1, math.floor(share * (int(inside.sum()) - 1)))
    if share == 1.0:
        assert torch.equal(gate, inside)


def test_an_open_gate_is_general_thinker_with_the_projection():
    responses = Signals([[0.3, -1.0, 2.0, 0.1], [1.0, 1.0, 4.0]])
    projected = GeneralThinker(family="generalthinker", bound="zero_sum")
    torch.testing.assert_close(
        control("gate", gate_share=1.0).token_credit(responses).advantages, projected.token_credit(responses).advantages
    )


def test_settings_without_effect_are_not_in_the_identity():
    assert "bound" not in control("gate").identity()
    assert "gate_share" not in control("negated").identity()
    assert control("gate").identity() != control("gate", gate_share=0.5).identity()
    with pytest.raises(ValueError, match="direction_preserving: true"):
        control("gate", direction_preserving=False)
