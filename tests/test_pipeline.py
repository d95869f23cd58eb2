"""The whole pipeline on a small configuration: every stage runs once, and a change reruns only what depends on it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from generalthinker.files import read_json, read_parquet

ROOT = Path(__file__).parent.parent
TARGETS = ("table1.csv", "table3.csv", "table7.csv")
RUN = "small/GeneralThinker_strength-0.1_clip-2.0_seed-1"
pytestmark = [pytest.mark.slow, pytest.mark.vllm]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project whose Table 1 was made by the smoke configuration."""
    copy = tmp_path_factory.mktemp("pipeline") / "project"
    for name in ("Snakefile", "workflow", "config", "envs", "src", "tests/smoke.yaml"):
        source, target = ROOT / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    snakemake(copy, "--cores", "2")
    return copy


def snakemake(project: Path, *arguments: str, mine: str | None = None, also: tuple[str, ...] = ()) -> str:
    """Run Snakemake on the smoke configuration, `mine` laid over it; return its output, fail with it."""
    (project / "mine.yaml").write_text(mine or "{}")
    files = ["config/demo.yaml", "tests/smoke.yaml", "mine.yaml"]
    targets = [f"results/demo/{target}" for target in (*TARGETS, *also)]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, "--configfile", *files, "--", *targets],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=580,
    )
    output = done.stdout + done.stderr
    logs = "".join(f"\n{log}:\n{log.read_text()[-2000:]}" for log in project.rglob("*.log") if done.returncode)
    assert done.returncode == 0, output + logs
    return output


def planned(project: Path, mine: str | None = None, also: tuple[str, ...] = ()) -> dict[str, int]:
    """Return rule → jobs that would run now."""
    output = snakemake(project, "-n", "--quiet", "rules", mine=mine, also=also)
    jobs = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)}
    jobs.pop("total", None)
    return jobs


def test_table_1_is_made_of_counts_over_the_questions_asked(project):
    table = pd.read_csv(project / "results/demo/table1.csv")
    assert len(table) == 8 + 2
    row = pd.read_csv(project / "results/demo/table1/Toy-Sum.csv")
    assert list(row["column"]) == ["Base", "Binary-RL", "Likelihood-RL", "GeneralThinker"]
    assert (row["total"] == 6).all()
    assert set(row["engine"]) == {"vllm"}
    for suffix in ("md", "tex"):
        assert (project / f"results/demo/table1.{suffix}").stat().st_size > 100


def test_no_response_is_lost(project):
    responses, metadata = read_parquet(project / f"results/demo/generations/{RUN}/toys.parquet")
    grades, _ = read_parquet(project / f"results/demo/grades/{RUN}/toys.parquet")
    assert len(responses) == len(grades) == 8 * 6
    assert metadata["generation"]["engine"] == "vllm"
    assert not list((project / "results/demo").rglob("*.parts")), "finished suites leave no parts behind"


def test_a_run_carries_settings_versions_hardware_and_commit(project):
    record = read_json(project / f"results/demo/runs/{RUN}/run.json")
    assert record["identity"]["method"]["modulation_strength"] == 0.1
    assert record["grpo"]["loss_type"] == "grpo"
    assert {"torch", "trl", "transformers", "peft"} <= set(record["versions"])
    assert record["hardware"]["cores"] >= 1
    assert record["commit"]
    history, _ = read_parquet(project / f"results/demo/runs/{RUN}/history.parquet")
    assert list(history["step"]) == [1, 2]
    assert history[["kl", "entropy", "reward"]].notna().all(axis=None)


def test_a_second_run_does_nothing(project):
    assert planned(project) == {}


def test_a_comment_in_the_package_redoes_nothing(project):
    file = project / "src/generalthinker/training/trainer.py"
    file.write_text(file.read_text() + "\n# a comment\n")
    assert planned(project) == {}


def test_another_strength_retrains_that_run_only(project):
    run = {"model": "small", "method": "GeneralThinker", "modulation_strength": 0.15}
    jobs = planned(project, yaml.safe_dump({"tables": {"table1": {"runs": {"GeneralThinker": run}}}}))
    assert (jobs["train"], jobs["generate"], jobs["grade"]) == (1, 1, 1)


def test_another_learning_rate_retrains_every_run_but_pretrains_nothing(project):
    jobs = planned(project, "training: {learning_rate: 2.0e-4}")
    assert jobs["train"] == 3
    assert not {"pretrain", "mixture", "benchmark"} & set(jobs)


def test_settings_of_execution_retrain_nothing(project):
    assert planned(project, "training: {save_every: 7, report_to: tensorboard}\nthreads: {train: 2}") == {}


def test_another_layout_redoes_the_table_only(project):
    assert planned(project, "tables: {table1: {title: Another title}}") == {"table": 1}


def test_a_lost_evaluation_is_redone_with_what_hangs_on_it(project):
    lost = [f"{stage}/{RUN}/toys.parquet" for stage in ("generations", "grades")]
    kept = {project / "results/demo" / name: (project / "results/demo" / name).read_bytes() for name in lost}
    for path in kept:
        path.unlink()
    jobs = planned(project, also=tuple(lost))
    assert (jobs["generate"], jobs["grade"], jobs["table_row"], jobs["table"]) == (1, 1, 10, 1)
    assert "train" not in jobs
    for path, content in kept.items():
        path.write_bytes(content)
