"""What `generalthinker plan` says a target costs: estimated before anything ran, measured as soon as something has."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from generalthinker.config import load
from generalthinker.errors import StageError
from generalthinker.files import write_json
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.reporting import plan as planning
from generalthinker.reporting.assumptions import AssumptionError, Assumptions, assume
from generalthinker.reporting.estimate import Estimate, Gpus, read_gpus, total_steps
from generalthinker.reporting.plan import PlannedJob, describe_plan, plan

ROOT = Path(__file__).parent.parent
A100 = Gpus({"train": 4, "generate": 1}, "A100")
SMALL, LARGE = RunSpec("qwen2.5-1.5b", ""), RunSpec("qwen2.5-7b", "")


@pytest.fixture
def paper(tmp_path):
    return load([ROOT / "config/config.yaml"]).model_copy(update={"results": str(tmp_path)})


@pytest.fixture
def planned(paper, monkeypatch):
    """Return a function that plans two runs of different models with one suite each; Snakemake is not asked."""
    names = ["qwen2.5-1.5b/Binary-RL_seed-1", "qwen2.5-7b/GeneralThinker_strength-0.1_clip-2.0_seed-1"]
    jobs = [("mixture", ""), *(("train", name) for name in names), *(("generate", f"{name}/math") for name in names)]
    monkeypatch.setattr(planning, "_missing", lambda *_: jobs)

    def make(hours=None, assumptions=None):
        return plan(paper, [], ["all"], hours or {}, assumptions)

    return make


def by_name(made) -> dict[tuple[str, str], PlannedJob]:
    return {(job.rule, job.name): job for job in made.jobs}


def test_training_follows_from_floating_point_operations(paper):
    """Written out once more: passes × 2 × parameters × tokens, divided by what four GPUs compute in a second."""
    step = Estimate(paper, Assumptions(), A100).step("qwen2.5-1.5b")
    tokens = 64 * (150 + 400) * 1.1
    assert step.compute == pytest.approx((3 + 3) * 2 * 1.54e9 * tokens / (4 * 312e12 * 0.25))
    per_token = 2 * 1.54e9 / (2039e9 * 0.6) + 0.005
    assert step.rollout == pytest.approx(1024 * per_token)
    assert total_steps(paper) == 2651
    validation = 9 * 32 * 1024 * per_token
    assert Estimate(paper, Assumptions(), A100).train(SMALL) == pytest.approx(
        (2651 * step.total + validation + 90) / 3600
    )


def checked(paper, state="passed", **training):
    """Write what `check --gpu` would have measured of one model."""
    figures = {"model": "qwen2.5-1.5b", "rollout_seconds": 8.0, "scoring_seconds": 1.5, "update_seconds": 2.5}
    parts = [
        {"part": "model", "state": "passed", "figures": {"parameters": 1}},
        {"part": "rollouts", "state": state, "figures": figures | {"rollout_tokens_per_second": 5e3}},
        {"part": "step", "state": "passed", "figures": figures | {"rollout_seconds": 0.0}},
    ]
    settings = paper.training.model_dump(mode="json") | training
    write_json(Layout(paper.results).gpu_check, {"training": settings, "parts": parts})


def test_a_measured_step_replaces_the_computed_one(paper, planned, monkeypatch):
    one_gpu = Gpus({"train": 1, "generate": 1}, "A100")
    checked(paper)
    estimate = Estimate(paper, Assumptions(), one_gpu)
    assert estimate.step("qwen2.5-1.5b").total == 12.0
    validations = 9 * math.ceil(1000 / 64) * 8.0
    assert estimate.train(SMALL) == pytest.approx((2651 * 12.0 + validations + 90) / 3600)
    computed = Estimate(paper, Assumptions(), one_gpu, {})
    assert estimate.train(LARGE) == computed.train(LARGE), "which was not measured"
    monkeypatch.setattr(planning, "read_gpus", lambda: one_gpu)
    bases = {job.name: job.basis for job in planned().jobs if job.rule == "train"}
    assert [*bases.values()] == ["ESTIMATE from steps of check --gpu", "ESTIMATE"]


@pytest.mark.parametrize(
    ("gpus", "assumed", "written"),
    [
        (4, {}, {}),  # it was measured on one GPU
        (1, {"response_tokens": 600.0}, {}),
        (1, {}, {"batch_size": 128}),
        (1, {}, {"state": "failed"}),
        (1, {}, None),
    ],
)
def test_a_step_measured_in_other_circumstances_does_not_count(paper, gpus, assumed, written):
    if written is None:
        Path(Layout(paper.results).gpu_check).write_text('{"parts": [')
    else:
        checked(paper, **written)
    assert Estimate(paper, Assumptions(**assumed), Gpus({"train": gpus, "generate": 1}, "A100")).checked == {}


def test_more_of_anything_takes_longer(paper):
    def hours(gpus=4, run=SMALL, **assumed):
        return Estimate(paper, Assumptions(**assumed), Gpus({"train": gpus, "generate": 1}, "A100")).train(run)

    least = hours()
    assert least < hours(run=LARGE)
    assert least < hours(gpus=1)
    for more in ({"response_tokens": 800.0}, {"padding": 3.0}, {"utilisation": 0.1}, {"peak_tflops": 100.0}):
        assert least < hours(**more), more
    estimate = Estimate(paper, Assumptions(), A100)
    assert (
        estimate.generate(SMALL, "gpqa") < estimate.generate(SMALL, "supergpqa") < estimate.generate(LARGE, "supergpqa")
    )
    assert estimate.questions("gpqa") == 448 + 198


def test_an_estimate_is_labelled_and_its_assumptions_are_printed(planned):
    text = describe_plan(planned())
    assert re.search(
        r"^Total of all: about [\d.]+ A100 GPU-hours, \d+ of them ESTIMATED, not measured; longest chain about "
        r"[\d.]+ h$",
        text,
        re.MULTILINE,
    )
    assert re.search(r"train +qwen2.5-7b +1 +[\d.]+ +1 +[\d.]+ +ESTIMATE", text)
    for name in Assumptions.model_fields:
        assert f"  {name} = " in text
    replaced = describe_plan(planned(assumptions=assume(["response_tokens=900", "billions.qwen2.5-7b=8"])))
    assert "  response_tokens = 900 (as given)" in replaced
    assert "qwen2.5-7b 8" in replaced


def test_what_was_measured_replaces_the_estimate(planned, paper):
    before = by_name(planned())
    folder = Path(Layout(paper.results).benchmark_file("train", "qwen2.5-1.5b/Likelihood-RL_seed-1"))
    folder.parent.mkdir(parents=True)
    measured = 2 * before["train", "qwen2.5-1.5b/Binary-RL_seed-1"].hours
    folder.write_text(f"s\th:m:s\n{measured * 3600}\t-\n")
    after = by_name(planned())
    assert after["train", "qwen2.5-1.5b/Binary-RL_seed-1"].hours == pytest.approx(measured)
    assert after["train", "qwen2.5-1.5b/Binary-RL_seed-1"].basis == "measured, 1 jobs"
    large = next(name for rule, name in before if rule == "train" and "7b" in name)
    assert after["train", large].hours == pytest.approx(2 * before["train", large].hours), "as much longer as the small"
    assert after["train", large].basis == "estimate × 2.00, as measured on 1 jobs"
    assert [job for job in after.values() if job.rule == "generate"] == [
        job for job in before.values() if job.rule == "generate"
    ]


def test_a_training_that_goes_on_is_a_measurement_too(planned, paper):
    run = "qwen2.5-1.5b/Binary-RL_seed-1"
    folder = Path(Layout(paper.results).run(run)) / "checkpoints" / "0"
    folder.mkdir(parents=True)
    (folder / "timing.jsonl").write_text('{"step": 1, "seconds": 3.6}\n' * 20)
    assert by_name(planned())["train", run].hours == pytest.approx(2651 / 1000)


def test_a_training_of_several_jobs_counts_all_its_steps(planned, paper):
    run = "qwen2.5-1.5b/Binary-RL_seed-1"
    path = Path(Layout(paper.results).benchmark_file("train", run))
    path.parent.mkdir(parents=True)
    path.write_text("s\th:m:s\n60\t-\n")
    write_json(Layout(paper.results).run_record(run), {"training_seconds": 7200.0})
    assert by_name(planned())["train", run].hours == pytest.approx(2.0)


def test_hours_that_are_given_replace_everything(planned):
    made = planned({"train": 2.0, "generate": 0.5, "mixture": 1.0})
    assert made.gpu_hours == pytest.approx(2 * 2 * 1 + 2 * 0.5)
    assert made.longest_chain == pytest.approx(1 + 2 + 0.5)
    text = describe_plan(made)
    assert "Total of all: 5.0 A100 GPU-hours; longest chain 3.5 h" in text
    assert "assumes" not in text


def test_tiny_models_are_measured_not_estimated():
    demo = load([ROOT / "config/demo.yaml"])
    estimate = Estimate(demo, Assumptions(), A100)
    assert estimate.train(RunSpec("small", "")) is estimate.generate(RunSpec("small", ""), "toys") is None


def test_the_profile_says_how_many_gpus(tmp_path):
    assert read_gpus(ROOT / "slurm/config.yaml") == Gpus(
        {"train": 1, "gpu_check": 1, "generate": 1, "grade": 0}, "A100"
    )
    assert read_gpus(tmp_path / "none.yaml").of_rule == {"train": 1, "generate": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tokens=3", "no such assumption; allowed: peak_tflops"),
        ("response_tokens=many", "expected name=number"),
        ("response_tokens", "expected name=number"),
        ("utilisation=2", "utilisation=2.0: input should be less than or equal to 1"),
        ("billions=2", "billions.<entry of `models`>"),
    ],
)
def test_wrong_assumptions_say_what_is_allowed(text, words):
    with pytest.raises(AssumptionError, match=re.escape(words)):
        assume([text])


def test_unknown_rules_are_refused(planned):
    with pytest.raises(StageError, match="--hours: training: no such rule"):
        planned({"training": 3.0})


def test_the_command_plans_what_snakemake_lacks(tmp_path):
    (tmp_path / "mine.yaml").write_text(f"results: {tmp_path}/results")

    def planned(*arguments):
        files = f"config/config.yaml,{tmp_path}/mine.yaml"
        command = [sys.executable, "-m", "generalthinker.cli", "plan", *arguments, "--settings", files]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    done = planned(f"{tmp_path}/results/table2.csv", "--hours", "generate=0.5", "--hours", "train=2")
    assert done.returncode == 0, done.stderr
    assert re.search(r"train +qwen2.5-1.5b +5 +2.00 +1 +10.00 +as given", done.stdout)
    assert re.search(r"generate +qwen2.5-1.5b +30 +0.50 +1 +15.00 +as given", done.stdout)
    assert re.search(r"benchmark +11 .* ESTIMATE", done.stdout)
    assert "table2.csv: about 25.0 A100 GPU-hours; longest chain" in done.stdout
    for arguments, words in (
        (("nonsense",), "No rule to produce nonsense"),
        (("all", "--hours", "train=x"), "expected rule=hours"),
        (("all", "--assume", "x=1"), "no such assumption"),
    ):
        done = planned(*arguments)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
