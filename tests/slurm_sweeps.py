"""A real SLURM for tests, and a sweep of three short runs on it; the machine has one cluster for all of them."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from generalthinker import slurm

REPO = Path(__file__).resolve().parents[1]
CLUSTER = REPO / "tests" / "slurm" / "cluster.sh"
PROFILE = REPO / "slurm"

# The profile looks at its jobs every half minute and then less often; these jobs take seconds.
QUICK = ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]

STEPS, SAVE_EVERY = 24, 4
RUNS = ["small/Binary-RL_seed-1", "small/Likelihood-RL_seed-1", "small/GeneralThinker_strength-0.1_clip-2.0_seed-1"]
OVERLAY = {
    "results": "results/sweep",
    "training": {"max_steps": STEPS, "save_every": SAVE_EVERY, "validate_every": None},
}


def environment() -> dict[str, str]:
    """Return this environment as an activated one: sbatch hands it to the jobs, which look for programs on its PATH."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    started = subprocess.run([CLUSTER, "start"], capture_output=True, text=True, timeout=120, check=False)
    said = (started.stdout + started.stderr).strip()
    if started.returncode == 2 and os.environ.get("GENERALTHINKER_REQUIRE_SLURM") != "1":
        pytest.skip(said)
    assert started.returncode == 0, said
    yield
    if "already running" not in said:
        subprocess.run([CLUSTER, "stop"], capture_output=True, timeout=120, check=True)


def edit_profile(folder: Path, pattern: str, text: str) -> None:
    """Replace the first line end that matches `pattern` in the profile in `folder`."""
    profile = folder / "config.yaml"
    edited, count = re.subn(pattern, text, profile.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1, pattern
    profile.write_text(edited)


class Sweep:
    """A copy of the repository with a sweep of three short runs, and the sessions that work on it."""

    def __init__(self, folder: Path, made_before: Path | None = None) -> None:
        self.folder = folder / "repository"
        unwanted = shutil.ignore_patterns(".git", ".venv", ".snakemake", "results", ".*_cache", "__pycache__")
        shutil.copytree(REPO, self.folder, ignore=unwanted, symlinks=True)
        # The pretended GPUs are shared by two cores: with all of them for each run, the runs take turns.
        edit_profile(self.folder / "slurm", r"gpu: 1$", "gpu: 4")
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
def undisturbed(cluster, tmp_path_factory):
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
