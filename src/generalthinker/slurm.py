"""This folder's SLURM jobs: what `squeue` knows of them, which are orphans, and how to end them."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from generalthinker.errors import StageError

PREFIX = "generalthinker"  # slurm-jobname-prefix in slurm/config.yaml
CLIENT_SECONDS = 20  # SLURM's clients wait for minutes while slurmctld is down
# A completing job takes no further step; whatever starts after it waits for its lock.
ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "COMPLETING",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "TIMEOUT",
}


class OrphansError(StageError, RuntimeError):
    """Jobs of an earlier Snakemake session in this folder still live."""


class UnreachableError(StageError, RuntimeError):
    """SLURM's controller does not answer."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job of this folder; `session` is the job name that all jobs of one Snakemake session share."""

    number: str
    session: str
    state: str
    reason: str
    work: str  # the rule and its wildcards, where the cluster keeps job comments

    @property
    def live(self) -> bool:
        """Whether it waits or runs."""
        return self.state not in ENDED


def available() -> bool:
    """Return whether this machine has SLURM's clients."""
    return shutil.which("squeue") is not None


def jobs(folder: str | Path = ".", seconds: float = CLIENT_SECONDS) -> list[Job]:
    """Return the jobs that Snakemake sessions in `folder` submitted, also those that ended a short while ago.

    Raises UnreachableError if the controller does not answer within `seconds`.
    """
    query = ["squeue", "--me", "--states=all", "--noheader", "--format=%i|%j|%T|%r|%Z|%k"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise UnreachableError(f"slurmctld did not answer squeue within {seconds:g} s") from None
    if done.returncode:
        raise UnreachableError(f"squeue: {done.stderr.strip()}")
    home, listed = str(Path(folder).resolve()), []
    for line in done.stdout.splitlines():
        if line.count("|") < 5:
            continue  # a warning that SLURM printed among the jobs
        number, session, state, reason, place, work = line.split("|", 5)
        if session.startswith(f"{PREFIX}_") and place and str(Path(place).resolve()) == home:
            listed.append(Job(number, session, state, reason, work))
    return listed


def orphans(folder: str | Path = ".") -> list[Job]:
    """Return the live jobs of this folder; called before a session submits any, all of them are an earlier one's."""
    return [job for job in jobs(folder) if job.live]


def refuse_orphans(folder: str | Path = ".") -> None:
    """Raise OrphansError, with the commands to type, if jobs of an earlier session live; without SLURM do nothing."""
    if os.environ.get("GENERALTHINKER_ORPHANS") == "handled" or not available():
        return
    try:
        live = orphans(folder)
    except UnreachableError:
        return  # what cannot be seen harms no one: a second job of one run waits for the first
    if live:
        raise OrphansError(describe_orphans(live))


def use_clients(folder: Path) -> None:
    """Put `folder` before SLURM's own clients on this process's PATH: a session survives an unreachable slurmctld."""
    if str(folder) not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def describe_orphans(live: list[Job]) -> str:
    """Return which jobs of an earlier session live and what to type."""
    shown = "\n".join(f"  {job.number} {job.state.lower()} {job.work}" for job in live[:10])
    more = f"\n  and {len(live) - 10} more" if len(live) > 10 else ""
    return (
        f"{len(live)} SLURM jobs of an earlier Snakemake session in this folder are still alive:\n{shown}{more}\n"
        "To end them (trainings save a checkpoint first):\n"
        f"  scancel {' '.join(job.number for job in live)}\n"
        "To let them finish and then go on by itself:\n"
        "  generalthinker sweep --orphans wait <targets>"
    )


def wait_until_reachable(say, seconds: float = 15.0) -> None:
    """Return when the controller answers; say so once if it does not."""
    told = False
    while True:
        try:
            jobs()
        except UnreachableError as error:
            if not told:
                say(f"{error}; waiting until it answers")
                told = True
            time.sleep(seconds)
        else:
            return


def cancel(live: list[Job]) -> None:
    """Cancel jobs and return when none of them lives any more."""
    subprocess.run(["scancel", *(job.number for job in live)], timeout=60, check=False)
    numbers = {job.number for job in live}
    while any(job.number in numbers for job in orphans()):
        time.sleep(2)
