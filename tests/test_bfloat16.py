"""Training in bfloat16 on a CPU: what must be exact, and how far signal, weights w and adapter may be from float32's.

`benchmarks/bfloat16.py` measures the distances on any model; docs/method.md has them for a real language model.
"""

import shutil
from dataclasses import dataclass, field

import pytest
import torch
from transformers import AutoModelForCausalLM

from trainers import lora, make

pytestmark = pytest.mark.thorough
STEPS = 20


@dataclass
class Run:
    """A finished training: its responses of each step, and the quantities of the first step's credit."""

    trainer: object
    responses: list = field(default_factory=list)
    credits: list = field(default_factory=list)
    prefix: torch.Tensor | None = None

    @property
    def first(self):
        return {name: values.double() for name, values in self.credits[0].quantities.items()}


def trained(folder, model, precision, replayed=None):
    """Return a run of STEPS steps; with `replayed`, on the responses of that run instead of sampled ones."""
    folder.mkdir()
    settings = {"max_steps": STEPS, "learning_rate": 3e-4, "gradient_checkpointing": True}
    _, _, trainer = make(folder, model, "GeneralThinker", precision=precision, **settings)
    run = Run(trainer)
    sample, score = trainer._generate_single_turn, trainer._generate_and_score_completions

    def turn(*arguments):
        made = (replayed.responses[len(run.responses)], None) if replayed else sample(*arguments)
        run.responses.append(made[0])
        return made

    def scored(rows):
        output = score(rows)
        run.credits.append(trainer.credit)
        run.prefix = trainer.prefix_mask(output) if run.prefix is None else run.prefix
        return output

    trainer._generate_single_turn, trainer._generate_and_score_completions = turn, scored
    trainer.train()
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_model):
    """A float32 run, and a bfloat16 run on its responses; both start from the weights that bfloat16 has."""
    folder = tmp_path_factory.mktemp("bfloat16")
    shutil.copytree(tiny_model, folder / "model")
    AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16).float().save_pretrained(folder / "model")
    exact = trained(folder / "fp32", folder / "model", "fp32")
    return exact, trained(folder / "bf16", folder / "model", "bf16", replayed=exact)


def steps(run, name):
    return [row[name] for row in run.trainer.state.log_history if name in row]


def test_weights_are_bfloat16_and_the_adapter_is_float32(runs):
    model = runs[1].trainer.model
    kinds = {"lora_" in name: set() for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        kinds["lora_" in name].add(parameter.dtype)
    assert kinds == {False: {torch.bfloat16}, True: {torch.float32}}


def test_the_kl_of_the_first_step_is_exactly_zero(runs):
    for run in runs:
        kl = steps(run, "kl")
        assert kl[0] == 0.0
        assert kl[-1] > 0


def test_rewards_and_signal_are_those_of_float32_but_for_rounding(runs):
    exact, rounded = runs
    assert steps(rounded, "reward")[0] == pytest.approx(steps(exact, "reward")[0], rel=1e-2)
    errors = (rounded.first["s"] - exact.first["s"])[exact.prefix]
    spread = exact.first["s"][exact.prefix].std()
    assert 0 < errors.std() < 0.1 * spread
    weights = [run.first["w"][exact.prefix] for run in runs]
    flipped = weights[0].sign() != weights[1].sign()
    assert weights[0][flipped].abs().max() < 0.1, "only weights near zero change their sign"
    assert torch.corrcoef(torch.stack(weights))[0, 1] > 0.99


def test_the_adapter_grows_as_in_float32(runs):
    exact, rounded = (lora(run.trainer) for run in runs)
    for layer, pair in exact.items():
        for one, other in zip(pair, rounded[layer], strict=True):
            assert other.norm() == pytest.approx(one.norm().item(), rel=0.05), layer
    moved = [torch.cat([b.flatten() for _, b in adapter.values()]) for adapter in (exact, rounded)]
    assert torch.nn.functional.cosine_similarity(*moved, dim=0) > 0.9
