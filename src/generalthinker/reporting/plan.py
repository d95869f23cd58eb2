"""What a target would cost, before it is started: jobs, GPU-hours, and the longest chain of jobs.

Snakemake's dry run gives the jobs. The duration of a job is what the user assumes, or else the median that Snakemake
measured over the finished jobs of the same rule in the same results folder. A rule without either is named as unknown.
"""

import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.paths import Layout

PROFILE = Path("slurm/config.yaml")
# In the order in which the rules wait for each other. A rule that is not listed takes seconds.
CHAIN = ("download", "pretrain", "benchmark", "mixture", "train", "generate", "grade")


@dataclass(frozen=True, slots=True)
class Step:
    """One rule's jobs: their number, the hours of each (None if unknown), the GPUs of each."""

    rule: str
    jobs: int
    hours: float | None
    gpus: int

    @property
    def gpu_hours(self) -> float | None:
        """GPU-hours of all its jobs together."""
        return 0.0 if not self.gpus else None if self.hours is None else self.jobs * self.gpus * self.hours


def plan(settings: Settings, configfiles: list[str], targets: list[str], assumed: dict[str, float]) -> list[Step]:
    """Return the steps that making `targets` would take; `assumed` gives hours of one job by rule.

    Raises StageError with Snakemake's error message if it cannot plan them.
    """
    if unknown := sorted(set(assumed) - set(CHAIN)):
        raise StageError(
            f"--hours: {', '.join(unknown)}: no such rule, or a rule that takes seconds; expected {', '.join(CHAIN)}"
        )
    command = ["snakemake", "-n", "--quiet", "rules", "--nolock", "--configfile", *configfiles, "--", *targets]
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    if done.returncode:
        raise StageError(f"{' '.join(command)}:\n{(done.stderr + done.stdout).strip()}")
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE)}
    gpus = _gpus()
    return [
        Step(rule, jobs[rule], assumed.get(rule, _measured(settings, rule)), gpus.get(rule, 0))
        for rule in CHAIN
        if rule in jobs
    ]


def describe_plan(steps: list[Step]) -> str:
    """Return the plan as a table with its sums."""
    if not steps:
        return "No long job is needed: what is missing is written from finished results in seconds."
    frame = pd.DataFrame(
        {
            "rule": [step.rule for step in steps],
            "jobs": [step.jobs for step in steps],
            "hours each": [_number(step.hours) for step in steps],
            "GPUs each": [step.gpus or "–" for step in steps],
            "GPU-hours": [_number(step.gpu_hours) if step.gpus else "–" for step in steps],
        }
    )
    unknown = [step.rule for step in sorted(steps, key=lambda step: -step.gpus) if step.hours is None]
    least = "at least " if unknown else ""
    gpu_hours = sum(step.gpu_hours or 0 for step in steps)
    path = sum(step.hours or 0 for step in steps)
    lines = [
        frame.to_string(index=False),
        f"GPU-hours: {least}{gpu_hours:.1f}",
        f"Longest chain, one job of each rule after the other: {least}{path:.1f} h",
    ]
    if unknown:
        lines.append(
            f"Not measured yet: {', '.join(unknown)}. Finish one job of each, or assume a duration, "
            f"e.g. --hours {unknown[0]}=2"
        )
    return "\n".join(lines)


def _measured(settings: Settings, rule: str) -> float | None:
    """Return the median hours of the rule's finished jobs, None if no job is finished."""
    folder = Path(Layout(settings.results).benchmark_file(rule)).parent
    seconds = [float(pd.read_csv(path, sep="\t")["s"].iloc[-1]) for path in sorted(folder.rglob("*.tsv"))]
    return statistics.median(seconds) / 3600 if seconds else None


def _gpus() -> dict[str, int]:
    """Return rule → the number of GPUs that the cluster profile requests for one job."""
    profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8")) if PROFILE.exists() else {}
    return {rule: int(named.get("gpu", 0)) for rule, named in profile.get("set-resources", {}).items()}


def _number(hours: float | None) -> str:
    return "?" if hours is None else f"{hours:.2f}"
