"""The profile `slurm/` against a real SLURM: one machine that pretends to have four A100s (tests/slurm/cluster.sh)."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from slurm_sweeps import PROFILE, QUICK, REPO, edit_profile, environment, live

DEMO_ARGS = ["--configfile", "config/demo.yaml", "tests/smoke.yaml"]
DEMO_TARGET = "results/demo/table2/Full.csv"
DEMO_GROUPS = ["Toy arithmetic", "Toy general"]

# One xdist worker for all of them: the machine has one cluster.
pytestmark = pytest.mark.slurm

# `train` fails the first time; the two `generate` jobs wait for each other, so they pass only when they run together.
TOY = """
localrules: table

rule table:
    input: expand("generate_{i}.env", i=[1, 2])
    output: "table.txt"
    shell: "echo here=${{SLURM_JOB_ID:-login}} > {output}"

rule train:
    output: "train.env"
    threads: 4
    resources: gpu=1
    shell:
        '''
        asked=tres-per-job:.40,NumCPUs:.20,TimeLimit:.20,MinMemory:.20
        squeue --noheader --jobs $SLURM_JOB_ID --Format $asked >> attempts.txt
        test $(wc -l < attempts.txt) -eq 2
        env > {output}
        '''

rule generate:
    input: "train.env"
    output: "generate_{i}.env"
    resources: gpu=1
    shell:
        '''
        touch here_{wildcards.i}
        for _ in $(seq 120); do if [ -e here_1 ] && [ -e here_2 ]; then break; fi; sleep 0.5; done
        test -e here_1 && test -e here_2
        env > {output}
        '''
"""


@dataclass(frozen=True)
class Run:
    """One finished Snakemake session: where it ran, how it ended, what it printed."""

    folder: Path
    returncode: int
    log: str

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment that a toy job wrote to `name`."""
        lines = (self.folder / name).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def sbatch_id(self, rule: str) -> list[str]:
        """Return the SLURM ids that Snakemake reports for `rule`, in order of submission."""
        lines = [line for line in self.log.splitlines() if "submitted with SLURM jobid" in line]
        return [line.split("SLURM jobid ")[1].split()[0] for line in lines if f"/rule_{rule}/" in line]


def snakemake(*args: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", *args]


@pytest.fixture(scope="module")
def toy(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "Snakefile").write_text(TOY)
    shutil.copytree(PROFILE, folder / "slurm")
    edit_profile(folder / "slurm", r"gpu: 1$", "gpu: 4")
    command = snakemake("table.txt", "--profile", "slurm", *QUICK)
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )
    run = Run(folder, done.returncode, done.stdout)
    assert run.returncode == 0, run.log
    return run


def test_jobs_run_inside_slurm_allocations(toy: Run):
    train, generate = toy.environment("train.env"), toy.environment("generate_1.env")
    assert train["SLURM_JOB_ID"] == toy.sbatch_id("train")[-1]
    assert generate["SLURM_JOB_ID"] in toy.sbatch_id("generate")


def test_local_rules_stay_on_the_login_node(toy: Run):
    assert (toy.folder / "table.txt").read_text() == "here=login\n"


def test_train_gets_four_gpus(toy: Run):
    train = toy.environment("train.env")
    assert train["SLURM_GPUS_ON_NODE"] == "4"
    assert train["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"


def test_simultaneous_generate_jobs_get_different_gpus(toy: Run):
    first, second = toy.environment("generate_1.env"), toy.environment("generate_2.env")
    assert first["SLURM_GPUS_ON_NODE"] == second["SLURM_GPUS_ON_NODE"] == "1"
    devices = {first["CUDA_VISIBLE_DEVICES"], second["CUDA_VISIBLE_DEVICES"]}
    assert len(devices) == 2
    assert devices < {"0", "1", "2", "3"}


def test_threads_are_what_the_rule_says_and_the_machine_has(toy: Run):
    cores = len(os.sched_getaffinity(0))
    assert toy.environment("train.env")["OMP_NUM_THREADS"] == str(min(4, cores))
    assert toy.environment("generate_1.env")["OMP_NUM_THREADS"] == "1"


def test_jobs_find_this_python_and_its_commands(toy: Run):
    path = toy.environment("train.env")["PATH"].split(":")
    assert path[0] == str(Path(sys.executable).parent)


def test_failed_job_is_submitted_again_with_more_memory(toy: Run):
    assert len(toy.sbatch_id("train")) == 2
    attempts = [line.split() for line in (toy.folder / "attempts.txt").read_text().splitlines()]
    assert attempts == [
        ["gres:gpu:a100:4", "8", "1-00:00:00", "62.50G"],
        ["gres:gpu:a100:4", "8", "1-00:00:00", "125G"],
    ]


def submitted_jobs() -> dict[str, tuple[str, str]]:
    """Return id → (rule and wildcards, requested GPUs) of every job that SLURM remembers."""
    query = ["squeue", "--states=all", "--noheader", "--Format", "JobID:.20,tres-per-job:.40,Comment:.200"]
    listing = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    rows = (line.split(maxsplit=2) for line in listing.splitlines() if line.strip())
    return {job: (comment, gpus) for job, gpus, comment in rows}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_row_of_the_demo_is_made_by_slurm_jobs(cluster: None, tmp_path: Path):
    """The real workflow, in a copy of the repository so that nobody's results are touched."""
    if not (REPO / "Snakefile").exists():
        pytest.skip("no Snakefile at the top of this checkout")
    copy = tmp_path / "repository"
    unwanted = shutil.ignore_patterns(".git", ".venv", ".snakemake", "results", ".*_cache", "__pycache__")
    shutil.copytree(REPO, copy, ignore=unwanted)
    earlier = submitted_jobs().keys()
    log = tmp_path / "snakemake.log"
    # `--profile slurm` by name, as in the README: it must be found from the repository's top.
    command = snakemake("--profile", "slurm", *QUICK, *DEMO_ARGS, "--", DEMO_TARGET)
    jobs: dict[str, tuple[str, str]] = {}
    with log.open("w") as stream:
        session = subprocess.Popen(command, cwd=copy, env=environment(), stdout=stream, stderr=subprocess.STDOUT)
        try:
            while session.poll() is None:
                # SLURM forgets a finished job after five minutes, so the record is kept here.
                jobs |= {job: asked for job, asked in submitted_jobs().items() if job not in earlier}
                time.sleep(5)
        finally:
            if session.poll() is None:
                # As Ctrl-C would: Snakemake cancels its jobs, which a kill would leave running.
                session.send_signal(signal.SIGINT)
                session.wait(60)
    assert session.returncode == 0, log.read_text()[-6000:]

    with (copy / DEMO_TARGET).open(newline="") as stream:
        assert [row["column"] for row in csv.DictReader(stream)] == DEMO_GROUPS
    # Comments read rule_<name>, then _wildcards_<values> where the rule has wildcards; train_data is another rule.
    gpus = {
        rule: {asked for comment, asked in jobs.values() if comment.split("_wildcards_")[0] == f"rule_{rule}"}
        for rule in ("train", "generate")
    }
    assert gpus == {"train": {"gres:gpu:a100:1"}, "generate": {"gres:gpu:a100:1"}}


@pytest.mark.recovery
@pytest.mark.timeout(1500)
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
