"""SLURM's view of the jobs, joined to the work by rule and wildcards; status works the same without SLURM."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from generalthinker import slurm
from generalthinker.slurm import Job

ANSWER_SECONDS = 5.0  # a look at the state must not wait for a controller that is down
RUNNING = {"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "CONFIGURING"}
FAILED = {"BOOT_FAIL", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"}
STOPPED = {"CANCELLED", "PREEMPTED", "TIMEOUT"}
LOGS = Path(".snakemake/slurm_logs")  # of Snakemake's SLURM plugin: rule_<rule>/<wildcards>/<job>.log


@dataclass(frozen=True)
class Queue:
    """The jobs by their work, oldest first; `remark` says in one line what is not known, and why."""

    jobs: dict[str, list[Job]] = field(default_factory=dict)
    remark: str = ""

    def of(self, rule: str, *wildcards: str) -> list[Job]:
        """Return the jobs of one rule and its wildcards, oldest first."""
        return self.jobs.get(work_of(rule, *wildcards), [])

    def numbers(self, rule: str, *wildcards: str) -> set[str]:
        """Return the numbers of all jobs that are known to have worked on it: those with a log, and the listed ones."""
        logs = LOGS / f"rule_{rule}" / "_".join(wildcards).replace("/", "_")
        return {job.number for job in self.of(rule, *wildcards)} | {path.stem for path in _files(logs, "*.log")}

    def is_live(self, number: str | None) -> bool:
        """Return whether SLURM lists this job as waiting or running."""
        return any(job.number == number and job.live for of_work in self.jobs.values() for job in of_work)


def work_of(rule: str, *wildcards: str) -> str:
    """Return the comment that Snakemake's SLURM plugin gives to a job.

    >>> work_of("generate", "small/Base", "toys")
    'rule_generate_wildcards_small_Base_toys'
    """
    return f"rule_{rule}_wildcards_{'_'.join(wildcards).replace('/', '_')}"


def read_queue() -> Queue:
    """Return the jobs of this folder; it neither raises nor waits for long."""
    if not slurm.available():
        return Queue(remark="no squeue on this machine; states come from the files alone")
    try:
        listed = slurm.jobs(seconds=ANSWER_SECONDS)
    except (slurm.UnreachableError, OSError, ValueError) as error:
        return Queue(remark=f"{' '.join(str(error).split())}; states come from the files alone")
    works, unknown = joined(listed)
    return Queue(works, f"{unknown} live jobs of this folder do not say what they work on" if unknown else "")


def joined(listed: Iterable[Job]) -> tuple[dict[str, list[Job]], int]:
    """Return the jobs by work, and the number of live jobs whose work is not known.

    A cluster may keep no job comments. The folder of a job's log then tells, from the moment when the job starts.
    """
    works: dict[str, list[Job]] = {}
    unknown, logged = 0, None
    for job in sorted(listed, key=lambda job: (len(job.number), job.number)):
        work = job.work
        if not work.startswith("rule_"):
            logged = _logged() if logged is None else logged
            work = logged.get(job.number, "")
        if work:
            works.setdefault(work, []).append(job)
        else:
            unknown += job.live
    return works, unknown


def _logged() -> dict[str, str]:
    """Return job number → work, from where the plugin writes the jobs' logs."""
    return {path.stem: f"{path.parent.parent.name}_wildcards_{path.parent.name}" for path in _files(LOGS, "*/*/*.log")}


def _files(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.glob(pattern))
    except OSError:
        return []
