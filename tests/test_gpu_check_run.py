"""The check of a GPU, run for real on the CPU: real trainings, real processes, and packages that are really broken."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import tiny
from generalthinker.config import load
from generalthinker.config.load import freeze
from generalthinker.config.training import TrainingSettings
from generalthinker.files import read_json
from generalthinker.paths import Layout
from generalthinker.reporting.gpu_check import describe_check
from generalthinker.training.gpu_check import verdicts
from generalthinker.training.gpu_check.check import check_gpu
from generalthinker.training.gpu_check.machine import describe_gpus
from generalthinker.training.gpu_check.models import Shape, byte_tokenizer, prepare
from generalthinker.training.gpu_check.outcome import NotTriedError, run_work

pytestmark = pytest.mark.thorough
ROOT = Path(__file__).parent.parent
TRAINING = {
    "batch_size": 8,
    "group_size": 4,
    "micro_batch_size": 4,
    "max_completion_tokens": 48,
    "gradient_checkpointing": True,
}


def settings_in(folder: Path, **training):
    """Return the demo's settings with a short step, one table, and results in `folder`."""
    demo = load([ROOT / "config/demo.yaml"])
    shrunk = demo.training.model_copy(update=TRAINING | training)
    tables = {"table2": demo.tables["table2"]}
    update = {"results": str(folder / "results"), "training": shrunk, "tables": tables, "figures": {}}
    return demo.model_copy(update=update)


def broken(folder: Path, **packages: str) -> str:
    """Return a PYTHONPATH on which `packages`, given by their code, stand before the installed ones."""
    for name, code in packages.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(code)
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Settings, run and parts of a check with a vLLM that ends its process, and too little time to look for GPUs."""
    folder = tmp_path_factory.mktemp("checked")
    settings = settings_in(folder)
    [run] = settings.runs(tiny.choice("GeneralThinker"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", broken(folder / "broken", vllm="import os; os.abort()"))
        parts = {part.part: part for part in check_gpu(settings, [run], {"gpus": 0.2})}
    return settings, run, parts


def test_each_part_reports_whatever_the_others_found(checked):
    _, _, parts = checked
    states = {name: part.state for name, part in parts.items() if name != "versions"}
    assert states == {
        "GPUs and driver": "failed",
        "imports": "failed",
        "small: model": "passed",
        "small: training step": "passed",
        "small: rollouts": "passed",
        "small: several processes": "passed",
    }
    assert parts["GPUs and driver"].found == "still ran after 0.2 s"
    assert parts["versions"].figures["compared"] > 100
    assert "vllm: killed by SIGABRT" in parts["imports"].found
    errors = parts["imports"].figures["errors"]
    assert errors.keys() >= {"torch", "trl", "peft", "vllm", "math_verify"}
    assert [name for name, error in errors.items() if error] == ["vllm"]


def test_the_step_is_the_configured_one_with_its_memory_near_the_arithmetic(checked):
    _, run, parts = checked
    figures = parts["small: training step"].figures
    assert (figures["model"], figures["run"]) == ("small", run.name)
    assert 0.5 < figures["peak_bytes"] / sum(figures["expected_bytes"].values()) < 1.5
    assert figures["scoring_seconds"] > 0
    assert figures["update_seconds"] > 0
    assert 0.3 * 48 < figures["response_tokens"] < 0.5 * 48
    processes = parts["small: several processes"].figures
    assert (processes["processes"], processes["sum_is_right"], processes["same_adapter"]) == (2, True, True)


def test_the_file_and_the_table_tell_it_all_and_the_model_is_gone(checked):
    settings, run, parts = checked
    layout = Layout(settings.results)
    written = read_json(layout.gpu_check)
    assert [part["part"] for part in written["parts"]] == list(parts)
    assert written["training"]["batch_size"] == 8
    text = describe_check(settings, [run])
    assert all(f"  {name} " in text for name in parts)
    step = parts["small: rollouts"].figures
    seconds = step["rollout_seconds"] + step["scoring_seconds"] + step["update_seconds"]
    assert re.search(rf"{re.escape(run.name)} +60 +{seconds:.2f} ", text)
    assert "python -c 'import vllm'" in text
    assert not (Path(layout.gpu_check_logs) / "scratch").exists()
    assert (Path(layout.gpu_check_logs) / "small-training-step.log").read_text()


def test_a_torch_that_crashes_fails_its_parts_and_the_command_and_no_other(tmp_path):
    settings = settings_in(tmp_path)
    command = [sys.executable, "-m", "generalthinker.cli", "check", "--gpu", "--settings", str(freeze(settings))]
    environment = tiny.environment(PYTHONPATH=broken(tmp_path / "broken", torch="import os; os.abort()"))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    parts = {part["part"]: part for part in read_json(Layout(settings.results).gpu_check)["parts"]}
    assert parts["versions"]["figures"]["compared"] > 100
    assert "torch: killed by SIGABRT" in parts["imports"]["found"]
    assert parts["imports"]["figures"]["errors"]["math_verify"] is None
    for name in ("GPUs and driver", "small: model"):
        assert (parts[name]["state"], "killed by SIGABRT" in parts[name]["found"]) == ("failed", True)
    assert parts["small: training step"]["state"] == "skipped"
    assert re.search("GPUs and driver +FAILED +killed by SIGABRT", done.stdout)
    assert "make venv PLATFORM=cuda" in done.stdout
    assert "error: failed: GPUs and driver, imports, small: model; what to do" in done.stderr
    assert "Traceback" not in done.stdout


def test_a_part_that_hangs_is_ended_with_all_its_processes(tmp_path, monkeypatch):
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(987)'])"
    monkeypatch.setenv("PYTHONPATH", broken(tmp_path / "broken", torch=child))
    started = time.monotonic()
    ended = run_work("gpus", folder=tmp_path, name="gpus", limit=3)
    assert ended.error == "still ran after 3 s"
    assert time.monotonic() - started < 30
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "time.sleep(987)" not in running


def test_a_process_for_one_gpu_sees_the_first_of_those_given(tmp_path, monkeypatch):
    code = "import os; raise RuntimeError(os.environ['CUDA_VISIBLE_DEVICES'])"
    monkeypatch.setenv("PYTHONPATH", broken(tmp_path / "broken", torch=code))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    seen = [run_work("gpus", folder=tmp_path, name="gpus", limit=60, one_gpu=one).error for one in (True, False)]
    assert seen == ["RuntimeError: 2", "RuntimeError: 2,3"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_machine_without_a_gpu_says_why():
    part = verdicts.gpus("GPU", describe_gpus(), TrainingSettings())
    assert (part.state, part.figures["torch"]) == ("failed", torch.__version__)
    assert part.found.startswith("no GPU: torch ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("pretended", [False, True], ids=["no GPU", "a GPU, and an engine that crashes"])
def test_rollouts_that_cannot_start_say_why(tmp_path, monkeypatch, pretended):
    packages = {"vllm": "import os; os.abort()"}
    if pretended:
        packages["sitecustomize"] = "import torch; torch.cuda.device_count = lambda: 1"
    monkeypatch.setenv("PYTHONPATH", broken(tmp_path / "broken", **packages))
    settings = settings_in(tmp_path, rollout_engine="vllm", rollout_weights="merged", precision="bf16")
    [run] = settings.runs(tiny.choice("GeneralThinker"))
    arguments = (freeze(settings), run.name, tmp_path, "rollouts", True)
    part = run_work("steps", *arguments, folder=tmp_path, name="rollouts", limit=120).failed("rollouts", "what to do")
    words = "killed by SIGABRT" if pretended else "training.rollout_weights = merged needs a GPU, and none is visible"
    assert (part.state, part.found.startswith(words), part.advice) == ("failed", True, "what to do"), part


def test_a_model_that_is_there_is_taken_and_a_large_one_waits_for_a_gpu(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    Shape(64, 2, 2, 1, 96, vocabulary=300).config().save_pretrained(own)
    byte_tokenizer(300).save_pretrained(own)
    demo = load([ROOT / "config/demo.yaml"])
    found = prepare(demo.models["small"], own, tmp_path / "models/small", torch.float32)
    assert not found["random"]
    assert (tmp_path / "models/small").resolve() == own
    if not torch.cuda.is_available():
        paper = load([ROOT / "config/config.yaml"])
        with pytest.raises(NotTriedError, match=r"needs a GPU: 1\.54 billion parameters"):
            prepare(paper.models["qwen2.5-1.5b"], tmp_path / "absent", tmp_path / "models/large", torch.float32)


@pytest.mark.vllm
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
def test_a_real_engine_agrees_and_one_that_misses_the_adapter_is_found(tmp_path):
    script, report = Path(__file__).with_name("vllm_gpu_check.py"), tmp_path / "report.json"
    done = subprocess.run([sys.executable, script, tmp_path, report], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(report.read_text())
    training = TrainingSettings()
    synced, stale = (verdicts.rollouts("rollouts", found[case], training) for case in ("synced", "first sync only"))
    assert synced.state == "passed", synced
    assert (stale.state, "does not sample from the policy" in stale.advice) == ("failed", True), stale
    figures = found["synced"]
    assert figures["kl"] < 1e-4
    assert figures["kl_if_ignored"] > 20 * figures["kl"]
    assert figures["rollout_tokens_per_second"] > 0
