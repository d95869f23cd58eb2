"""What the check of a GPU concludes from its figures: no process is started, and nothing is trained."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from generalthinker.config import load
from generalthinker.config.training import TrainingSettings
from generalthinker.reporting.assumptions import Assumptions
from generalthinker.reporting.cells import all_runs
from generalthinker.training.gpu_check import machine, verdicts
from generalthinker.training.gpu_check.check import check_gpu, most_work
from generalthinker.training.gpu_check.models import SHAPES, byte_tokenizer, config_of
from generalthinker.training.gpu_check.outcome import Ended, NotTriedError, last_error
from generalthinker.training.gpu_check.step import Positions, expected_bytes
from generalthinker.training.gpu_check.sums import sums
from generalthinker.training.replay import completions, kernels_among, log_normal_lengths

ROOT = Path(__file__).parent.parent
PAPER = load([ROOT / "config/config.yaml"])
A100 = {"name": "NVIDIA A100", "capability": [8, 0], "free_bytes": 79e9, "total_bytes": 80e9}
MACHINE = {"torch": "2.13.0", "cuda": "13.0", "driver": "580.1", "gpus": [A100, A100], "multiplies": True}
STEP = {
    "scoring_seconds": 3.0,
    "update_seconds": 6.0,
    "training_tokens_per_second": 4000.0,
    "gradient_norm": 0.3,
    "peak_bytes": 6.2e9,
    "used_bytes": 9e9,
    "device_bytes": 80e9,
    "attention": "flash",
    "expected_bytes": {"weights": 3.1e9, "adapter and optimizer": 0.6e9, "activations": 2e9},
}
ROLLOUTS = {
    "rollout_seconds": 10.0,
    "rollout_tokens_per_second": 6000.0,
    "kl": 4e-4,
    "kl_without_adapter": 3e-4,
    "kl_if_ignored": 0.05,
    "largest_difference": 0.2,
}
PROCESSES = {"processes": 2, "backend": "nccl", "sum_is_right": True, "same_adapter": True, "update_seconds": 3.0}


@pytest.mark.parametrize(
    ("changed", "state", "found", "advice"),
    [
        ({}, "passed", "2 × NVIDIA A100, 80 GB; torch 2.13.0, CUDA 13.0, driver 580.1", ""),
        ({"gpus": [A100 | {"capability": [7, 5]}]}, "failed", "compute capability 7.5", "gpu_model"),
        ({"gpus": [A100, A100 | {"free_bytes": 30e9}]}, "failed", "only 30 GB are free", "nvidia-smi"),
        ({"multiplies": False}, "failed", "product", "computes wrongly"),
        ({"gpus": [], "cuda": None, "driver": None}, "failed", "no GPU", "make venv PLATFORM=cuda"),
        ({"gpus": [], "driver": None}, "failed", "no GPU", "snakemake --profile slurm gpu_check"),
        ({"gpus": [], "problem": "driver too old"}, "failed", "driver too old", "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_the_machine(changed, state, found, advice):
    part = verdicts.gpus("GPU", MACHINE | changed, TrainingSettings())
    assert (part.state, found in part.found, advice in part.advice) == (state, True, True), part
    assert bool(part.advice) == (state != "passed")


def test_an_old_gpu_is_enough_for_float32():
    found = MACHINE | {"gpus": [A100 | {"capability": [7, 0]}]}
    assert verdicts.gpus("GPU", found, TrainingSettings(precision="fp32")).state == "passed"


@pytest.mark.parametrize(
    ("changed", "training", "state", "advice"),
    [
        ({}, {}, "passed", ""),
        ({"used_bytes": 57e9}, {}, "failed", "micro_batch_size"),
        ({"used_bytes": 57e9}, {"rollout_engine": "transformers"}, "passed", ""),
        ({"used_bytes": 57e9}, {"vllm_memory_share": 0.2}, "passed", ""),
        ({"peak_bytes": 9e9}, {}, "warning", "weights 3.1, adapter and optimizer 0.6, activations 2"),
        ({"attention": "math"}, {}, "warning", "fused kernel"),
        ({"gradient_norm": 0.0}, {}, "failed", "target_modules"),
        ({"gradient_norm": float("nan")}, {}, "failed", "target_modules"),
        # the worst is said first
        ({"used_bytes": 57e9, "attention": "math", "peak_bytes": 50e9}, {}, "failed", "micro_batch_size"),
    ],
)
def test_a_step(changed, training, state, advice):
    part = verdicts.step("step", STEP | changed, TrainingSettings(**training))
    assert (part.state, advice in part.advice) == (state, True), part
    assert "9.00 s (scoring 3.00, update 6.00), 4,000 tokens/s" in part.found


@pytest.mark.parametrize(
    ("changed", "state", "advice"),
    [
        ({}, "passed", ""),
        ({"kl": 2e-3}, "failed", "rollout_weights is native"),
        ({"kl": float("nan")}, "failed", "rollout_weights"),
        ({"kl_without_adapter": 0.02, "kl": 0.02}, "failed", "have the same weights"),
        ({"kl_if_ignored": 1e-3}, "warning", "too little"),
    ],
)
def test_rollouts(changed, state, advice):
    """A run warns of a KL that is more than five times that of its first step, whose adapter is 0; the check fails."""
    part = verdicts.rollouts("rollouts", ROLLOUTS | changed, TrainingSettings())
    assert (part.state, advice in part.advice) == (state, True), part


@pytest.mark.parametrize(
    ("changed", "state", "words"),
    [
        ({}, "passed", "nccl"),
        ({"sum_is_right": False}, "failed", "sum"),
        ({"same_adapter": False}, "failed", "adapters"),
    ],
)
def test_processes(changed, state, words):
    part = verdicts.processes("processes", PROCESSES | changed)
    assert (part.state, words in part.found) == (state, True)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB", "micro_batch_size"),
        ("ValueError: Free memory on device cuda:0 (20/80 GiB) on startup is less than desired", "vllm_memory_share"),
        ("ImportError: libcudart.so.13: cannot open shared object file", "make venv PLATFORM=cuda"),
        ("OSError: [Errno 28] No space left on device", "free space"),
        ("DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3690", "NCCL_DEBUG=INFO"),
        ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "gpu_model"),
        ("still ran after 60 s", "as a last resort"),
    ],
)
def test_each_known_error_has_its_advice(error, advice):
    part = Ended({"half": 1}, error).failed("rollouts", "as a last resort")
    assert (part.state, part.found, part.figures) == ("failed", error, {"half": 1})
    assert advice in part.advice


@pytest.mark.parametrize(
    ("log", "error"),
    [
        (
            "Traceback\n  x\ntorch.OutOfMemoryError: CUDA out of memory.\nshutting down",
            "OutOfMemoryError: CUDA out of memory.",
        ),
        ("[rank1]: ValueError: no\n[rank1]: more\ntorch.distributed.ChildFailedError:\n======", "ValueError: no"),
        ("ChildFailedError:\nSignal 6 (SIGABRT) received by PID 5\n=====", "Signal 6 (SIGABRT) received by PID 5"),
        ("", "it wrote nothing"),
    ],
)
def test_the_last_error_of_a_log(log, error):
    assert last_error(log) == error


def test_versions_that_are_not_the_pinned_ones_are_named(tmp_path):
    (tmp_path / "envs").mkdir()
    lock = "# comment\ntorch==2.13.0\npyyaml==0.1 # via x\nabsent-package==1.0\nabsent-too==1; python_version < '3'\n"
    (tmp_path / "envs/cpu.lock").write_text(lock)
    (tmp_path / "envs/base.in").write_text("pydantic>=2,<3\n")
    compared, others = machine.other_versions(tmp_path, "cpu")
    assert compared == 4
    assert [other.partition(" ")[0] for other in others] == ["pyyaml", "absent-package"]
    part = verdicts.versions("versions", "envs/cpu.lock", compared, others)
    assert part.state == "failed"
    assert re.search(r"pyyaml [\d.]+, pinned ==0.1; absent-package is not installed, pinned ==1.0", part.found)
    assert "make venv" in part.advice


def test_broken_imports_are_named_with_their_errors():
    part = verdicts.imports("imports", {"torch": None, "peft": "ImportError: no"}, 3.0)
    assert (part.state, part.found) == ("failed", "peft: ImportError: no")
    assert "import peft" in part.advice
    assert verdicts.imports("imports", {"torch": None}, 3.0).state == "passed"


def test_each_model_is_tried_with_the_method_that_does_most():
    names = [run.name for run in most_work(PAPER, all_runs(PAPER))]
    assert [name.partition("/")[0] for name in names] == list(PAPER.models)
    assert all("GeneralThinker" in name or "AM" in name for name in names)


@pytest.mark.parametrize("missing", [None, "verifier"])
def test_a_model_that_a_method_needs_is_prepared_too(tmp_path, monkeypatch, missing):
    settings = load([ROOT / "config/demo.yaml", ROOT / "config/rivals.yaml"]).model_copy(
        update={"results": str(tmp_path)}
    )
    run = next(run for run in all_runs(settings) if "General-Reasoner" in run.name and run.seed)
    prepared = []

    def run_work(work, *arguments, **_):
        if work == "model":
            prepared.append((arguments[1], arguments[3].name))
            return Ended({}, "no disk") if arguments[1] == missing else Ended({"parameters": 1, "random": True}, None)
        return Ended({}, "not tried here")

    monkeypatch.setattr("generalthinker.training.gpu_check.check.run_work", run_work)
    parts = {part.part: part for part in check_gpu(settings, [run])}
    assert prepared == [("small", "small"), ("verifier", "verifier")]
    step = parts["small: training step"]
    assert (step.state, step.found) == (
        ("skipped", "verifier: model failed") if missing else ("failed", "not tried here")
    )


@pytest.mark.parametrize("name", PAPER.models)
def test_the_known_shapes_have_the_parameters_that_plan_assumes(name, monkeypatch):
    monkeypatch.setattr("generalthinker.training.gpu_check.models.try_to_load_from_cache", lambda *_, **__: None)
    entry = PAPER.models[name]
    with torch.device("meta"):
        parameters = AutoModelForCausalLM.from_config(config_of(entry)).num_parameters()
    assert parameters / 1e9 == pytest.approx(Assumptions().billions[entry.id], rel=0.005)


def test_a_model_of_unknown_shape_is_not_tried():
    entry = PAPER.models["qwen2.5-3b"].model_copy(update={"id": "somebody/model"})
    with pytest.raises(NotTriedError, match=r"its shape is not known: .*snakemake downloads"):
        config_of(entry)


def test_the_arithmetic_of_memory():
    """1.5B, written out once more: 28 layers, hidden size 1536, intermediate size 8960; a pass of 4,096 positions."""
    config, weights, adapter = SHAPES["Qwen/Qwen2.5-1.5B-Instruct"].config(), 3_087_428_608, 36_929_536

    def expected(together=4096, scored=3000, cuda=True, **training):
        positions = Positions(4096, together, scored)
        return expected_bytes(config, TrainingSettings(**training), weights, adapter, positions, cuda)

    layer = 4096 * 2 * (10 * 1536 + 5 * 8960)
    assert expected() == {
        "weights": weights,
        "adapter and optimizer": adapter * (4 + 4 + 4 + 4),
        "kept for gradients": 28 * 4096 * 1536 * 2,
        "one layer or the head": 2 * layer,
    }
    assert 4.5e9 < sum(expected().values()) < 5.5e9
    assert expected(together=3 * 4096)["kept for gradients"] == 3 * expected()["kept for gradients"]
    without = expected(gradient_checkpointing=False)
    assert (without["kept for gradients"], without["one layer or the head"]) == (28 * layer, layer)
    head = 3000 * 32768 * (2 + 5 * 4) + 4096 * 1536 * 4
    assert expected(cuda=False)["one layer or the head"] == head, "more than a layer, without a GPU"
    assert expected(precision="fp32")["kept for gradients"] == 2 * expected()["kept for gradients"]


def test_the_made_up_questions_have_right_solutions():
    for row in sums(50):
        assert eval(row["question"].removeprefix("What is ").rstrip("?")) == int(row["answer"])
        equations = [step.split(" = ") for step in row["solution"].split(". ")[:-1]]
        assert all(eval(left) == int(right) for left, right in equations)
        assert all(late[0].startswith(early[1]) for early, late in pairwise(equations))
        assert row["solution"].endswith(f"\\boxed{{{row['answer']}}}")


def test_given_responses_have_the_lengths_and_the_boxes_that_a_step_needs():
    lengths, tokenizer = log_normal_lengths(40, 100, 64, truncated=2), byte_tokenizer(2048)
    assert lengths.count(100) == 2
    assert sum(lengths) / 64 == pytest.approx(40, rel=0.25)
    for ids, length in zip(completions(tokenizer, sums(20), lengths, 100), lengths, strict=True):
        assert len(ids) == length or length < 15, "a box needs some tokens"
        assert (tokenizer.eos_token_id in ids) == (length < 100)
        assert ("\\boxed{" in tokenizer.decode(ids)) == (length < 100)


def test_every_token_of_a_random_model_has_a_text():
    tokenizer = byte_tokenizer(2048)
    assert len(tokenizer) == 2048
    assert tokenizer.decode(tokenizer("12 + 30 = 42 é")["input_ids"]) == "12 + 30 = 42 é"
    assert all(tokenizer.decode([token]) for token in range(2048))
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=True, add_generation_prompt=True)
    assert len(asked["input_ids"]) < 30, "the marks of the template are one token each"


def test_kernels_are_told_by_their_names():
    flash = "void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<128, 128, 64, 4>>"
    assert kernels_among(["ampere_bf16_s16816gemm", flash]) == "flash"
    assert kernels_among(["cudnn_generated_fort_native_sdpa_sm90_flash_fprop"]) == "cudnn and flash"
    assert kernels_among(["ampere_bf16_s16816gemm", "softmax_warp_forward"]) == "math"
    assert kernels_among([]) == "unknown"
