"""A slice of the rehearsal: the paper's configuration with small numbers, from made-up rows to one row of Table 2.

One training (GeneralThinker, with validation and checkpoints), one suite that holds all eleven benchmarks, one row. All
that is not a size is the paper's: bfloat16 weights, Qwen2.5's vocabulary, 64 responses of up to 1,024 tokens per step,
vLLM for rollouts and evaluation. CI runs it (`pytest -m rehearsal tests/test_rehearsal.py`), `make test` does not.
"""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

import tiny
from generalthinker.config import load
from generalthinker.files import read_json, read_parquet
from generalthinker.paths import Layout

ROOT = Path(__file__).parent.parent
CONFIG = ["config/config.yaml", "config/rehearsal.yaml"]
RUN = "qwen2.5-1.5b/GeneralThinker_strength-0.1_clip-2.0_seed-1"
BENCHMARKS = list(load([ROOT / file for file in CONFIG]).benchmarks)
QUESTIONS = 2  # of each benchmark
SLICE = {
    "data": {
        "train_rows": 400,
        "validation_rows": 8,
        "sources": {"MATH": {"rows": 300}, "Nemotron-CrossThink-QA": {"rows": 1000}},
    },
    "benchmarks": {name: {"rows": 57 if name == "MMLU-Redux" else 20, "limit": QUESTIONS} for name in BENCHMARKS},
    "training": {"max_steps": 2, "save_every": 1, "validate_every": 1},
    "evaluation": {
        "suites": {"math": BENCHMARKS} | {name: [] for name in ("gpqa", "mmlu", "mmlu-pro", "mmlu-redux", "supergpqa")}
    },
}
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.skipif(
        any(find_spec(package) is None for package in ("vllm", "dashscope")), reason="vLLM or dashscope is missing"
    ),
]


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """The results of the slice, in a copy of the project."""
    copy = tmp_path_factory.mktemp("rehearsal") / "project"
    for name in ("Snakefile", "workflow", "config", "envs", "profiles"):
        source, target = ROOT / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    (copy / "slice.yaml").write_text(yaml.safe_dump(SLICE))
    files = [*CONFIG, "slice.yaml"]
    run(copy, "generalthinker.cli", "stand-ins", "results/rehearsal/mirror", "--settings", ",".join(files))
    run(copy, "snakemake", "--cores", "2", "--configfile", *files, "--", "results/rehearsal/table2/Full.csv")
    return Layout(str(copy / "results/rehearsal"))


def run(project: Path, *command: str) -> None:
    """Run a Python module in `project`; fail with its output."""
    # Without these, glibc gives the memory of every large tensor back to the system: that takes longer than computing.
    memory = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1"}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        env=tiny.environment(**memory),
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    logs = "".join(f"\n{log}:\n{log.read_text()[-2000:]}" for log in project.rglob("*.log") if done.returncode)
    assert done.returncode == 0, done.stdout + done.stderr + logs


def test_the_row_counts_every_benchmark_beside_the_papers_values(layout):
    row = pd.read_csv(layout.row("table2", "Full"))
    assert list(row["column"]) == ["Math & STEM", "General"]
    assert list(row["responses"]) == [7 * QUESTIONS, 4 * QUESTIONS]
    assert set(row["engine"]) == {"vllm"}
    assert set(row["dtype"]) == {"bfloat16"}
    assert row["reported_percent"].notna().all()
    assert row["accuracy_percent"].between(0, 100).all()


def test_the_mixture_was_compared_with_all_benchmarks_and_dropped_what_it_must(layout):
    record = read_json(layout.mixture_manifest)
    assert record["decontaminated_against"] == sorted(BENCHMARKS)
    assert record["not_decontaminated_against"] == {}
    crossthink = record["sources"]["Nemotron-CrossThink-QA"]
    assert crossthink["origin"] == "mirror"
    assert set(crossthink["dropped"]) == {
        "duplicate",
        "in_benchmark",
        "open_ended",
        "prompt_too_long",
        "too_many_options",
    }
    assert record["train"]["rows"] == 400
    questions, _ = read_parquet(layout.train)
    assert questions["prompt_tokens"].between(45, 320).all()


def test_the_training_is_the_papers_but_for_its_size(layout):
    record = read_json(layout.run_record(RUN))
    grpo = record["grpo"]
    assert (grpo["use_vllm"], grpo["vllm_mode"], grpo["bf16"]) == (True, "colocate", True)
    assert (grpo["max_completion_length"], grpo["num_generations"]) == (1024, 8)
    assert grpo["per_device_train_batch_size"] * grpo["gradient_accumulation_steps"] == 64
    assert [validation["step"] for validation in record["validation"]] == [1, 2]
    assert dtypes(Path(layout.model("qwen2.5-1.5b")) / "model.safetensors") == {torch.bfloat16}
    assert dtypes(Path(layout.adapter(RUN)) / "adapter_model.safetensors") == {torch.float32}


def dtypes(file: Path) -> set[torch.dtype]:
    return {tensor.dtype for tensor in load_file(file).values()}


def test_its_history_has_rewards_to_learn_from_and_an_engine_that_samples_from_the_policy(layout):
    history, _ = read_parquet(layout.history(RUN))
    assert list(history["step"]) == [1, 2]
    assert history["kl"][0] == 0
    assert (history["reward_std"] > 0.1).all(), "some responses have a box"
    assert (history["zero_std_share"] < 0.5).all()
    assert (history["truncated_share"] < 0.5).all()
    assert (history["completion_length_max"] <= 1024).all()
    assert (history["sampling/kl"] < 0.01).all()
    assert (history["sampling/logp_difference"] < 0.1).all()


def test_responses_end_with_a_box_or_at_the_limit(layout):
    responses, metadata = read_parquet(layout.generations(RUN, "math"))
    assert responses.groupby("benchmark").size().to_dict() == dict.fromkeys(BENCHMARKS, QUESTIONS)
    assert metadata["generation"]["dtype"] == "bfloat16"
    assert (responses["truncated"] == (responses["tokens"] == 1024)).all()
    assert responses["response"][~responses["truncated"]].str.contains(r"\boxed{", regex=False).mean() > 0.3
    assert not responses["response"].str.contains("<|im_end|>", regex=False).any()
