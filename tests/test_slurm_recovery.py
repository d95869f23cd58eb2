"""A sweep of three runs on a real SLURM while things break: no step is done twice, and the results stay the same.

`pytest -m recovery` runs all of it (some ten minutes on two idle cores); `make test` runs the unmarked ones.
"""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from generalthinker import slurm
from test_slurm import CLUSTER, QUICK, REPO, cluster, environment  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1500)]
STEPS, SAVE_EVERY = 40, 5
RUNS = ["small/Binary-RL_seed-1", "small/Likelihood-RL_seed-1", "small/GeneralThinker_strength-0.1_clip-2.0_seed-1"]
OVERLAY = {
    "results": "results/sweep",
    "training": {"max_steps": STEPS, "save_every": SAVE_EVERY, "validate_every": None},
}


class Sweep:
    """A copy of the repository with a sweep of three short runs, and the sessions that work on it."""

    def __init__(self, folder: Path, made_before: Path | None = None) -> None:
        self.folder = folder / "repository"
        unwanted = shutil.ignore_patterns(".git", ".venv", ".snakemake", "results", ".*_cache", "__pycache__")
        shutil.copytree(REPO, self.folder, ignore=unwanted, symlinks=True)
        (self.folder / "overlay.yaml").write_text(yaml.safe_dump(OVERLAY))
        self.results = self.folder / "results/sweep"
        if made_before is not None:
            for part in ("data", "models", "kept/models"):
                shutil.copytree(made_before / part, self.results / part, symlinks=True)
        self.targets = [f"results/sweep/runs/{run}/adapter" for run in RUNS]
        self.files = ["config/demo.yaml", "tests/smoke.yaml", "overlay.yaml"]

    def command(self, *options: str) -> list[str]:
        """Return the plain Snakemake command."""
        snakemake = [sys.executable, "-m", "snakemake", "--profile", "slurm", *QUICK, *options]
        return [*snakemake, "--configfile", *self.files, "--", *self.targets]

    def sweep_command(self, *options: str) -> list[str]:
        """Return the `generalthinker sweep` command."""
        sweep = [sys.executable, "-m", "generalthinker.cli", "sweep", *self.targets, *options]
        return [*sweep, "--settings", ",".join(self.files), "--snakemake", " ".join(QUICK)]

    def start(self, command: list[str], **more: str) -> subprocess.Popen:
        """Start a session; all sessions write to one log."""
        with (self.folder / "session.log").open("a") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment() | more, stdout=log, stderr=subprocess.STDOUT
            )

    def run(self, command: list[str], timeout: float = 900, **more: str) -> int:
        """Run a session to its end and return its exit code."""
        process = self.start(command, **more)
        try:
            return process.wait(timeout)
        finally:
            end(process)

    @property
    def log(self) -> str:
        return (self.folder / "session.log").read_text()

    def steps_done(self, run: str) -> list[int]:
        """Return every optimizer step that any job of `run` has logged, in the order of the log."""
        logs = sorted((self.results / "logs/train").glob(f"{run}*.log*"), key=lambda path: path.stat().st_mtime)
        texts = [log.read_text(errors="replace") for log in logs if not log.is_symlink()]
        return [int(step) for text in texts for step in re.findall(rf"step (\d+) of {STEPS}\b", text)]

    def wait_for_steps(self, count: int, process: subprocess.Popen) -> None:
        """Return when all runs together have done `count` optimizer steps."""
        wait_until(lambda: sum(len(self.steps_done(run)) for run in RUNS) >= count, process)

    def weights(self) -> dict[str, bytes]:
        """Return run → adapter."""
        return {run: (self.results / "runs" / run / "adapter/adapter_model.safetensors").read_bytes() for run in RUNS}

    def check(self, expected: dict[str, bytes], repeated: int = 0) -> None:
        """Assert that every step was done, only steps after a checkpoint repeatedly, and the results are `expected`."""
        for run in RUNS:
            steps = self.steps_done(run)
            assert set(steps) == set(range(1, STEPS + 1)), (run, steps)
            assert len(steps) - STEPS <= repeated, (run, steps)
            for before, step in itertools.pairwise(steps):
                assert step == before + 1 or before - SAVE_EVERY < step <= before + 1, (run, steps)
            record = json.loads((self.results / "runs" / run / "run.json").read_text())
            assert record["steps"] == STEPS
        assert self.weights() == expected


def end(process: subprocess.Popen) -> None:
    """Stop a session as Ctrl-C does, if it still lives, and cancel what it left."""
    if process.poll() is None:
        for child in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            child.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until(condition, process: subprocess.Popen, seconds: float = 600) -> None:
    """Return when `condition` holds; fail if the session ends or the time is over before."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the session has ended"
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.2)


def cluster_sh(what: str) -> None:
    subprocess.run([CLUSTER, what], check=True, capture_output=True, timeout=60)


def live(sweep: Sweep) -> list[slurm.Job]:
    """Return this sweep's jobs that wait or run."""
    return slurm.orphans(sweep.folder)


@pytest.fixture(scope="module")
def undisturbed(cluster, tmp_path_factory):  # noqa: F811
    """The sweep that nothing disturbed."""
    sweep = Sweep(tmp_path_factory.mktemp("undisturbed"))
    assert sweep.run(sweep.command()) == 0, sweep.log[-5000:]
    for run in RUNS:
        assert sweep.steps_done(run) == list(range(1, STEPS + 1))
    return sweep


@pytest.fixture
def sweep(undisturbed, tmp_path):
    sweep = Sweep(tmp_path, undisturbed.results)
    yield sweep
    for job in live(sweep):
        subprocess.run(["scancel", job.number], timeout=30, check=False)


def test_a_master_killed_hard_loses_and_repeats_nothing(sweep, undisturbed):
    master = sweep.start(sweep.command())
    sweep.wait_for_steps(10, master)
    master.kill()
    master.wait()
    numbers = {job.number for job in live(sweep)}
    assert numbers, "its jobs go on"
    # A plain start, the folder unlocked blindly, names the orphans and harms nothing.
    assert sweep.run([*sweep.command("--unlock")]) == 0
    assert sweep.run(sweep.command(), timeout=120) != 0
    assert "scancel" in sweep.log
    assert {job.number for job in live(sweep)} <= numbers
    # A second session that is started all the same waits for the orphans' runs and takes their results over.
    assert sweep.run(sweep.command(), GENERALTHINKER_ORPHANS="handled") == 0, sweep.log[-5000:]
    sweep.check(undisturbed.weights())
    assert sweep.run(sweep.command("--dry-run")) == 0
    assert "Nothing to be done" in sweep.log


@pytest.mark.recovery
@pytest.mark.parametrize("orphans", ["wait", "cancel"])
def test_sweep_cleans_up_after_a_dead_session(sweep, undisturbed, orphans):
    master = sweep.start(sweep.command())
    sweep.wait_for_steps(12, master)
    master.kill()
    master.wait()
    assert sweep.run(sweep.sweep_command(), timeout=120) == 1
    assert "sweep --orphans cancel" in sweep.log
    assert sweep.run(sweep.sweep_command("--orphans", orphans)) == 0, sweep.log[-5000:]
    sweep.check(undisturbed.weights(), repeated=0 if orphans == "wait" else SAVE_EVERY)


@pytest.mark.recovery
def test_an_outage_of_the_controller_over_a_poll_and_a_submission(sweep, undisturbed):
    sweep.targets = sweep.targets[:1]
    master = sweep.start(sweep.command())
    try:
        sweep.wait_for_steps(3, master)
        cluster_sh("controller-down")
        more = Sweep.__new__(Sweep)
        more.__dict__ = sweep.__dict__ | {"targets": undisturbed.targets[1:]}
        time.sleep(60)
        cluster_sh("controller-up")
        assert master.wait(600) == 0, sweep.log[-5000:]
        cluster_sh("controller-down")
        second = more.start(more.command())
        time.sleep(60)
        cluster_sh("controller-up")
        assert second.wait(900) == 0, sweep.log[-5000:]
    finally:
        cluster_sh("controller-up")
        end(master)
    sweep.check(undisturbed.weights())


@pytest.mark.recovery
@pytest.mark.parametrize("event", ["scancel", "requeue", "preemption"])
def test_a_job_that_is_taken_away_continues_from_its_checkpoint(sweep, undisturbed, event):
    master = sweep.start(sweep.command())
    try:
        sweep.wait_for_steps(15, master)
        running = next(job for job in live(sweep) if job.state == "RUNNING")
        if event == "scancel":
            subprocess.run(["scancel", running.number], check=True, timeout=30)
        elif event == "requeue":
            subprocess.run(["scontrol", "requeue", running.number], check=True, timeout=30)
        else:
            urgent = ["sbatch", "--partition=urgent", "--gpus=a100:4", "--wrap=sleep 5", "--output=/dev/null"]
            subprocess.run(urgent, check=True, timeout=30)
        assert master.wait(900) == 0, sweep.log[-5000:]
    finally:
        end(master)
    sweep.check(undisturbed.weights(), repeated=SAVE_EVERY)


@pytest.mark.recovery
def test_a_drained_node_and_a_restarted_slurmd_only_cost_time(sweep, undisturbed):
    host = subprocess.run(["hostname", "-s"], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["scontrol", "update", f"nodename={host}", "state=drain", "reason=test"], check=True, timeout=30)
    master = sweep.start(sweep.command())
    try:
        wait_until(lambda: any(job.reason not in ("None", "") for job in live(sweep)), master)
        subprocess.run(["scontrol", "update", f"nodename={host}", "state=resume"], check=True, timeout=30)
        sweep.wait_for_steps(5, master)
        cluster_sh("node-down")
        time.sleep(5)
        cluster_sh("node-up")
        assert master.wait(900) == 0, sweep.log[-5000:]
    finally:
        subprocess.run(["scontrol", "update", f"nodename={host}", "state=resume"], check=False, timeout=30)
        end(master)
    sweep.check(undisturbed.weights(), repeated=SAVE_EVERY)


@pytest.mark.recovery
def test_the_time_limit_costs_no_finished_step(sweep, undisturbed):
    # One minute is the least that SLURM knows: the runs are made long enough for it.
    overlay = {**OVERLAY, "training": {**OVERLAY["training"], "max_steps": 400}}
    (sweep.folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    profile = sweep.folder / "slurm/config.yaml"
    profile.write_text(re.sub(r"runtime: min\(720[^\n]*", "runtime: 1", profile.read_text()))
    sweep.targets = sweep.targets[:1]
    assert sweep.run(sweep.sweep_command()) == 0, sweep.log[-5000:]
    logs = (sweep.results / "logs/train").glob(f"{RUNS[0]}*.log*")
    text = "".join(log.read_text() for log in logs if not log.is_symlink())
    steps = [int(step) for step in re.findall(r"step (\d+) of 400\b", text)]
    assert sorted(steps) == list(range(1, 401)), "SIGTERM saves the step that it interrupts"
    assert text.count("resuming from") >= 1


@pytest.mark.recovery
def test_a_second_session_in_the_folder_is_refused_and_the_first_unharmed(sweep, undisturbed):
    first = sweep.start(sweep.sweep_command())
    try:
        sweep.wait_for_steps(5, first)
        assert sweep.run(sweep.sweep_command(), timeout=120) == 1
        assert "another session works in this folder" in sweep.log
        assert sweep.run(sweep.command(), timeout=120) != 0
        assert first.wait(900) == 0, sweep.log[-5000:]
    finally:
        end(first)
    sweep.check(undisturbed.weights())


def test_the_environment_has_slurms_clients():
    """The tests above must not pass by being skipped where a SLURM is required."""
    if os.environ.get("GENERALTHINKER_REQUIRE_SLURM") == "1":
        assert slurm.available()
