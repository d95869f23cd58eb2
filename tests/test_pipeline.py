"""The whole pipeline on a small configuration: every stage runs once, and a change reruns only what depends on it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

import tiny
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
        # The copy's own package: edits of it are what a user's edits are.
        env=tiny.environment(PYTHONPATH=str(project / "src")),
        capture_output=True,
        text=True,
        timeout=580,
    )
    output = done.stdout + done.stderr
    logs = "".join(f"\n{log}:\n{log.read_text()[-2000:]}" for log in project.rglob("*.log") if done.returncode)
    assert done.returncode == 0, output + logs
    return output


def planned(
    project: Path, mine: str | None = None, also: tuple[str, ...] = (), options: tuple[str, ...] = ()
) -> dict[str, int]:
    """Return rule → jobs that would run now."""
    output = snakemake(project, "-n", "--quiet", "rules", *options, mine=mine, also=also)
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


def test_the_folder_of_an_adapter_is_made_once_and_again_when_it_is_deleted(project):
    target = f"adapters/{RUN}"
    folder = project / "results/demo" / target
    snakemake(project, "--cores", "2", also=(target,))
    assert (folder / "README.md").read_text().count("| 6 |") == 8, "a line per benchmark"
    assert planned(project, also=(target,)) == {}
    shutil.rmtree(folder)
    assert planned(project, also=(target,)) == {"adapter": 1}


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


NEW_BENCHMARK = """
benchmarks:
  Toy-New: {group: Toy general, adapter: synthetic, dataset: synthetic, subset: sum, split: train, rows: 60}
evaluation: {suites: {new: [Toy-New]}}
"""


def test_a_new_benchmark_plans_its_own_jobs_alone(project):
    # Its own row and the average of its group, for the four runs of the table; and its line of Table 3.
    expected = {"benchmark": 1, "overlap": 1, "generate": 4, "grade": 4, "table_row": 3, "table": 2}
    expected |= {"differences": 1}
    assert planned(project, NEW_BENCHMARK) == expected
    # Beyond Snakemake's checksum limit, an input counts as changed when its time of modification is newer.
    jobs = planned(project, NEW_BENCHMARK, options=("--max-checksum-file-size", "1"))
    assert jobs["generate"] == 4
    assert not {"pretrain", "mixture", "train"} & set(jobs)


@pytest.mark.thorough
def test_the_training_questions_that_occur_in_a_new_benchmark_are_counted_and_shown(project):
    snakemake(project, "--cores", "2", mine=NEW_BENCHMARK)
    row = pd.read_csv(project / "results/demo/table1/Toy-New.csv")
    counted = read_json(project / "results/demo/data/overlap/Toy-New.json")["train"]
    assert counted > 0, "both are drawn from the same questions"
    assert set(row["training_overlap"]) == {f"Toy-New {counted}"}
    table = (project / "results/demo/table1.md").read_text()
    assert f"Training questions that occur in a benchmark: Toy-New {counted}." in table
    jobs = planned(project)
    assert set(jobs) <= {"table_row", "differences", "table"}, (
        "going back to the old configuration writes tables and nothing else"
    )
    snakemake(project, "--cores", "2")
    assert planned(project) == {}


def test_more_methods_seeds_models_and_labels_plan_exactly_their_own_jobs(project):
    method = (
        "methods: {Binary-2: {family: binary_rl}}\ntables: {table1: {runs: {B2: {model: small, method: Binary-2}}}}"
    )
    jobs = planned(project, method)
    assert (jobs["train"], jobs["generate"], jobs["grade"]) == (1, 1, 1)
    jobs = planned(project, "seeds: [1, 2]")
    assert (jobs["train"], jobs["generate"]) == (3, 3)
    assert planned(project, "models: {small: {label: Tiny}}") == {}


@pytest.mark.thorough
def test_a_rebuilt_mixture_trains_and_generates_nothing_again(project):
    results = project / "results/demo"
    weights = {path: path.read_bytes() for path in results.glob("runs/*/*/adapter/*.safetensors")}
    assert len(weights) == 3
    snakemake(project, "--cores", "2", "--forcerun", "mixture", "--max-checksum-file-size", "1")
    assert planned(project) == {}
    assert {path: path.read_bytes() for path in weights} == weights
    for run in ("Binary-RL_seed-1", "Likelihood-RL_seed-1"):
        train = (results / f"logs/train/small/{run}.log").read_text()
        assert train.count("step 1 of 2") <= 1, train
        assert "its result is linked from" in train
        assert "already generated" in (results / f"logs/generate/small/{run}/toys.log").read_text()


def edit(project: Path, file: str, old: str, new: str) -> None:
    path = project / "src/generalthinker" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_results_follow_the_code_of_their_stage_alone(project):
    edit(project, "answers/choice.py", '"""', '"""Another docstring. ')
    assert planned(project) == {}
    edit(project, "answers/choice.py", "MAX_CHARACTERS = 5000", "MAX_CHARACTERS = 5001")
    jobs = planned(project)
    assert jobs["grade"] == 4
    assert not {"train", "generate"} & set(jobs)
    edit(project, "answers/choice.py", "MAX_CHARACTERS = 5001", "MAX_CHARACTERS = 5000")
    edit(project, "reporting/statistics.py", "PLACES = 2", "PLACES = 3")
    assert set(planned(project)) == {"table_row", "differences", "table"}
    edit(project, "reporting/statistics.py", "PLACES = 3", "PLACES = 2")
    edit(project, "reporting/figures/dynamics.py", "SMOOTH_FROM_STEPS = 30", "SMOOTH_FROM_STEPS = 31")
    assert planned(project) == {}


def test_results_of_other_code_are_named_and_not_redone(project):
    edit(project, "rewards/likelihood.py", "else combined(logps)", "else 2 * combined(logps)")
    assert set(planned(project)) == {"table_row", "table"}
    snakemake(project, "--cores", "2")
    row = pd.read_csv(project / "results/demo/table1/Toy-Sum.csv", keep_default_na=False)
    notes = dict(zip(row["column"], row["other_code"], strict=True))
    assert notes["Base"] == ""
    assert re.fullmatch(r"small/Likelihood-RL_seed-1: rewards 1, now 1\+\w{8} in rewards", notes["Likelihood-RL"])
    assert "NOT MADE BY THIS CODE: small/" in (project / "results/demo/table1.md").read_text()
    edit(project, "rewards/likelihood.py", "else 2 * combined(logps)", "else combined(logps)")
    snakemake(project, "--cores", "2")
    assert "NOT MADE BY" not in (project / "results/demo/table1.md").read_text()
