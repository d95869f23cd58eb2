"""However vLLM gets the adapter, it samples from the policy that is trained; the gap between the two is measured."""

import importlib.util
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from generalthinker.config.training import TrainingSettings, max_lora_rank
from generalthinker.metrics import COMMON, SAMPLING_DIFFERENCE, SAMPLING_DIFFERENCE_MAX, SAMPLING_KL, VLLM
from generalthinker.training.colocated import ServedAdapter, round_stochastically, rounding_generator
from generalthinker.training.history import History
from generalthinker.training.launcher import RolloutEngineError
from generalthinker.training.sampling_gap import SamplingGap

WAYS = ("merged", "stochastic", "native")
CPU = torch.device("cpu")
needs_vllm = [
    pytest.mark.thorough,
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]
with_vllm = pytest.mark.parametrize("way", [pytest.param(way, marks=needs_vllm) for way in WAYS])


@pytest.fixture(scope="module")
def report(tmp_path_factory, tiny_model):
    """What tests/vllm_weights.py found with real engines."""
    folder = tmp_path_factory.mktemp("engines")
    script = Path(__file__).with_name("vllm_weights.py")
    command = [sys.executable, script, tiny_model, folder, folder / "report.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "report.json").read_text())


@with_vllm
def test_the_engine_samples_from_the_trained_policy_only_with_sync_and_cache_reset(report, way):
    assert report["prompt tokens"] > report["block"], "shorter prompts are not in the prefix cache"
    gaps = report["gaps"][f"fp32 {way}"]
    assert max(gaps["synced"], gaps["synced again"]) < 1e-4
    assert min(gaps["no sync"], gaps["no reset"]) > 0.1
    rounded = report["gaps"][f"bf16 {way}"]
    assert max(rounded["synced"], rounded["synced again"]) < 0.3
    assert min(rounded["no sync"], rounded["no reset"]) > 1


@with_vllm
def test_in_bf16_the_engine_sees_a_small_adapter_at_least_as_well_as_the_trainer(report, way):
    """The standard error of these shares is about 0.05, so that merged and native do not differ here."""
    shares = {**report["shares merged"], **report["shares native"]}
    assert shares[way] > shares["trainer"] - 0.15
    if way == "stochastic":
        assert shares[way] == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("precision", [pytest.param("bf16", marks=needs_vllm)])
def test_a_resumed_training_with_stochastic_rounding_has_the_same_bytes(report, precision):
    assert report["resumed alike"]


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
@pytest.mark.parametrize(("loads", "resets"), [(True, True), (False, True), (True, False)])
def test_the_served_adapter_is_loaded_once_per_sync_or_the_training_stops(loads, resets):
    calls = []
    llm = SimpleNamespace(
        generate=lambda prompts, lora_request: calls.append(("generate", lora_request.load_inplace)),
        llm_engine=SimpleNamespace(add_lora=lambda request: calls.append(("load", request.load_inplace)) or loads),
        reset_prefix_cache=lambda: resets,
    )
    adapter = ServedAdapter(SimpleNamespace(save_pretrained=lambda *_, **__: calls.append("save")), llm)
    if loads and resets:
        adapter.sync()
        llm.generate([[1, 2]])
        llm.generate([[1, 2]])
        assert calls == ["save", ("load", True), ("generate", False), ("generate", False)]
    else:
        with pytest.raises(RolloutEngineError, match="would sample from an earlier policy"):
            adapter.sync()


@given(value=st.floats(-(2.0**100), 2.0**100, width=32), seed=st.integers(0, 2**31))
def test_rounding_gives_one_of_the_two_neighbours(value, seed):
    exact = torch.full((64,), value)
    rounded = round_stochastically(exact, rounding_generator(CPU, seed, 0)).float()
    # Neighbours in bfloat16 differ by 2^-8 to 2^-7 of their size, and by 2^-133 below the smallest normal value.
    assert ((rounded - exact).abs() <= exact.abs() * 2**-7 + 2.0**-133).all()
    representable = exact.bfloat16().float()
    assert torch.equal(round_stochastically(representable, rounding_generator(CPU, seed, 1)).float(), representable)


@pytest.mark.parametrize("value", [1.001, -0.0203, 3e-5])
def test_rounding_is_right_on_average(value):
    exact = torch.full((200_000,), value)
    rounded = round_stochastically(exact, rounding_generator(CPU, 1, 1)).double()
    error = rounded.std() / len(rounded) ** 0.5
    assert (rounded.mean() - exact[0].double()).abs() < 5 * error


def test_the_rounding_of_a_step_depends_on_seed_and_step_alone():
    values = torch.randn(100)

    def rounded(seed, step):
        return round_stochastically(values, rounding_generator(CPU, seed, step))

    assert torch.equal(rounded(1, 2), rounded(1, 2))
    assert not torch.equal(rounded(1, 2), rounded(1, 3))
    assert not torch.equal(rounded(1, 2), rounded(2, 2))
    assert not torch.equal(rounded(1, 2), rounded(2, 1))


def test_an_adapter_of_a_rank_that_vllm_does_not_take_is_refused():
    with pytest.raises(ValidationError, match=r"up to 512, this one's rank is 600: .*rollout_weights: stochastic"):
        TrainingSettings(lora={"rank": 600})
    TrainingSettings(lora={"rank": 600}, rollout_weights="merged")
    TrainingSettings(lora={"rank": 600}, rollout_engine="transformers")
    assert [max_lora_rank(rank) for rank in (1, 4, 32, 33)] == [1, 8, 32, 64]


@pytest.mark.parametrize("micro_batches", [1, 2, 3])
def test_the_gap_weights_every_token_alike_and_leaves_out_what_is_not_in_the_loss(micro_batches):
    torch.manual_seed(0)
    sampling, trainer = -torch.rand(6, 5), -torch.rand(6, 5)
    mask = torch.rand(6, 5) < 0.6
    sampling[0, 0], mask[0, 0] = float("nan"), True
    gap = SamplingGap(Accelerator(cpu=True))
    for start in range(0, 6, 6 // micro_batches):
        rows = slice(start, start + 6 // micro_batches)
        gap.trainer_logps = trainer[rows]
        gap.add(sampling[rows], mask[rows].int())
    mask[0, 0] = False
    difference = (trainer - sampling)[mask].double()
    assert gap.of_step() == pytest.approx(
        {
            SAMPLING_DIFFERENCE: difference.abs().mean().item(),
            SAMPLING_DIFFERENCE_MAX: difference.abs().max().item(),
            SAMPLING_KL: (difference.exp() - 1 - difference).mean().item(),
        }
    )


def test_a_gap_that_is_more_than_rounding_is_warned_of_once(tmp_path, caplog):
    history = History(tmp_path, {"rollout": 0.0, "scoring": 0.0}, VLLM)
    caplog.set_level(logging.WARNING)
    for step, kl in enumerate([2e-5, 6e-5, 3e-4, 4e-4, 3e-5], start=1):
        state = SimpleNamespace(global_step=step, max_steps=5, is_world_process_zero=True)
        history.on_log(None, state, None, {"loss": 0.0, SAMPLING_KL: kl, SAMPLING_DIFFERENCE_MAX: 0.5})
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 1
    assert "step 3: the rollout engine does not sample from the policy that is trained: KL 0.0003" in warned[0]


def test_without_vllm_the_history_has_no_columns_of_it(tmp_path):
    history = History(tmp_path, {"rollout": 0.0, "scoring": 0.0})
    state = SimpleNamespace(global_step=1, max_steps=5, is_world_process_zero=True)
    history.on_log(None, state, None, {"loss": 0.0})
    [row] = history.rows(history.metrics)
    assert list(row) == ["step", *(metric.column for metric in COMMON)]
