"""What a target would cost, before it is started: jobs, GPU-hours, and the longest chain of jobs.

Snakemake says which jobs are missing. The hours of a job are, in this order: what the user gives for its rule; the
median of what was measured for the same work; the estimate of `estimate.py`, multiplied by how much longer or shorter
than estimated the rule's measured jobs took.
"""

import re
import statistics
import subprocess
import sys
from dataclasses import dataclass

from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug
from generalthinker.reporting.assumptions import Assumptions
from generalthinker.reporting.estimate import Estimate, read_gpus
from generalthinker.reporting.measured import measured_hours, training_hours

# In the order in which the rules wait for each other. A rule that is not listed takes seconds.
CHAIN = ("download", "pretrain", "benchmark", "mixture", "train", "generate", "grade")


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One missing job: jobs of one `kind`, such as a model, take equally long; `run` is empty before the training."""

    rule: str
    kind: str
    name: str
    run: str
    hours: float | None
    gpus: int
    basis: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The jobs that `targets` need; `gpu_model` as the profile names it."""

    targets: tuple[str, ...]
    jobs: tuple[PlannedJob, ...]
    assumptions: Assumptions
    gpu_model: str

    @property
    def gpu_hours(self) -> float:
        """GPU-hours of all jobs whose duration is known."""
        return sum(job.gpus * (job.hours or 0.0) for job in self.jobs)

    @property
    def longest_chain(self) -> float:
        """Hours of the jobs that wait for each other, if all others run at the same time."""
        longest: dict[tuple[str, str], float] = {}
        for job in self.jobs:
            longest[job.run, job.rule] = max(longest.get((job.run, job.rule), 0.0), job.hours or 0.0)
        chains: dict[str, float] = {}
        for (run, _), hours in longest.items():
            chains[run] = chains.get(run, 0.0) + hours
        return chains.pop("", 0.0) + max(chains.values(), default=0.0)


def plan(
    settings: Settings,
    configfiles: list[str],
    targets: list[str],
    hours: dict[str, float],
    assumptions: Assumptions | None = None,
) -> Plan:
    """Return what making `targets` would take; `hours` gives the hours of one job by rule.

    Raises StageError with Snakemake's error message if it cannot plan them.
    """
    if unknown := sorted(set(hours) - set(CHAIN)):
        raise StageError(
            f"--hours: {', '.join(unknown)}: no such rule, or a rule that takes seconds; expected {', '.join(CHAIN)}"
        )
    gpus = read_gpus()
    estimate = Estimate(settings, assumptions or Assumptions(), gpus)
    missing = _missing(settings, configfiles, targets)
    jobs: list[PlannedJob] = []
    for rule in CHAIN:
        durations = _Durations(settings, rule, estimate, hours.get(rule), [job for job in missing if job[0] == rule])
        jobs += [durations.planned(name, gpus.of_rule.get(rule, 0)) for of_rule, name in missing if of_rule == rule]
    return Plan(tuple(targets), tuple(jobs), estimate.assumed, gpus.model)


class _Durations:
    """How long the jobs of one rule take, and how that is known."""

    def __init__(
        self, settings: Settings, rule: str, estimate: Estimate, given: float | None, missing: list[tuple[str, str]]
    ) -> None:
        self.settings, self.rule, self.estimate, self.given = settings, rule, estimate, given
        if not missing or given is not None:
            self.measured: dict[str, float] = {}
        elif rule == "train":
            self.measured = training_hours(settings, [settings.run(name) for _, name in missing])
        else:
            self.measured = measured_hours(settings, rule)
        self.of_kind: dict[str, list[float]] = {}
        ratios = []
        for name, hours in self.measured.items():
            kind, estimated = self._kind_and_estimate(name)
            self.of_kind.setdefault(kind, []).append(hours)
            if estimated:
                ratios.append(hours / estimated)
        self.ratio = statistics.median(ratios) if ratios else None

    def planned(self, name: str, gpus: int) -> PlannedJob:
        """Return the job of this name with its hours."""
        kind, estimated = self._kind_and_estimate(name)
        of_kind = self.of_kind.get(kind, [])
        hours: float | None
        if self.given is not None:
            hours, basis = self.given, "as given"
        elif of_kind:
            hours, basis = statistics.median(of_kind), f"measured, {len(of_kind)} jobs"
        elif estimated is not None and self.ratio is not None:
            hours, basis = (
                estimated * self.ratio,
                f"estimate × {self.ratio:.2f}, as measured on {len(self.measured)} jobs",
            )
        elif self.measured:
            hours, basis = statistics.median(self.measured.values()), f"measured, {len(self.measured)} other jobs"
        else:
            checked = self.rule == "train" and kind in self.estimate.checked
            hours, basis = estimated, "ESTIMATE from steps of check --gpu" if checked else "ESTIMATE"
        run = {"train": name, "generate": _run_of(name), "grade": _run_of(name)}.get(self.rule, "")
        return PlannedJob(self.rule, kind, name, run, hours, gpus, basis)

    def _kind_and_estimate(self, name: str) -> tuple[str, float | None]:
        """Return what decides how long a job takes, and the estimated hours; measured names may be unknown ones."""
        settings, estimate = self.settings, self.estimate
        models = {slug(model): model for model in settings.models}
        suites = {slug(suite): suite for suite in settings.evaluation.suites}
        model = models.get(name.split("/")[0])
        suite = suites.get(name.rpartition("/")[2])
        if self.rule in ("download", "pretrain"):
            hours = estimate.download(model) if model and self.rule == "download" else None
            return model or name, hours
        if self.rule in ("benchmark", "mixture"):
            synthetic = all(source.dataset == "synthetic" for source in settings.data.sources.values())
            seconds = estimate.assumed.model_dump()[f"{self.rule}_seconds"]
            return "", None if synthetic else seconds / 3600
        if model is None or (self.rule != "train" and suite is None):
            return name, None
        run = RunSpec(model, "")
        if self.rule == "train":
            return model, estimate.train(run)
        assert suite is not None
        if self.rule == "generate":
            return f"{model}, {suite}", estimate.generate(run, suite)
        return suite, estimate.grade(suite)


def _missing(settings: Settings, configfiles: list[str], targets: list[str]) -> list[tuple[str, str]]:
    """Return rule and name of every job of a rule in CHAIN that Snakemake would run for `targets`."""
    command = ["snakemake", "--summary", "--nolock", "--configfile", *configfiles, "--", *targets]
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    if done.returncode:
        raise StageError(f"{' '.join(command)}:\n{(done.stderr + done.stdout).strip()}")
    layout = Layout(settings.results)
    places = {
        "download": layout.model("*"),
        "pretrain": layout.model("*"),
        "benchmark": layout.benchmark("*"),
        "mixture": layout.train,
        "train": layout.adapter("*"),
        "generate": layout.generations("*", "*"),
        "grade": layout.grades("*", "*"),
    }
    jobs: dict[tuple[str, str], None] = {}
    for line in done.stdout.splitlines():
        fields = line.split("\t")
        if len(fields) < 6 or fields[2] not in places or fields[5] != "update pending":
            continue
        pattern = re.escape(places[fields[2]]).replace(r"\*", "(.+)")
        if match := re.fullmatch(pattern, fields[0]):
            jobs[fields[2], "/".join(match.groups())] = None
    return list(jobs)


def _run_of(name: str) -> str:
    return name.rpartition("/")[0]


def describe_plan(made: Plan) -> str:
    """Return the plan as a table, a line with the total, and the assumptions if any estimate rests on them."""
    if not made.jobs:
        return "No long job is needed: what is missing is written from finished results in seconds."
    lines = [("rule", "of", "jobs", "hours each", "GPUs each", "GPU-hours", "from")]
    groups: dict[tuple[str, str], list[PlannedJob]] = {}
    for job in made.jobs:
        kind = "" if job.rule in ("benchmark", "grade") else job.kind.partition(", ")[0]
        groups.setdefault((job.rule, kind), []).append(job)
    for (rule, kind), jobs in groups.items():
        known = [job.hours for job in jobs if job.hours is not None]
        each = f"{statistics.fmean(known):.2f}" if len(known) == len(jobs) else "?"
        gpus = jobs[0].gpus
        total = "–" if not gpus else "?" if each == "?" else f"{gpus * sum(known):.2f}"
        basis = ", ".join(dict.fromkeys(job.basis for job in jobs if job.hours is not None)) or "not known"
        lines.append((rule, kind, str(len(jobs)), each, str(gpus or "–"), total, basis))
    widths = [max(len(line[column]) for line in lines) for column in range(7)]
    left = (0, 1, 6)
    shown = [
        "  ".join(
            text.ljust(width) if column in left else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    unknown = dict.fromkeys(job.rule for job in sorted(made.jobs, key=lambda job: -job.gpus) if job.hours is None)
    estimated = [job for job in made.jobs if job.basis.lower().startswith("estimate") and (job.hours or 0) > 0.005]
    least = "at least " if unknown else "about " if estimated else ""
    gpu = f"{made.gpu_model} " if made.gpu_model else ""
    share = sum(job.gpus * (job.hours or 0) for job in estimated)
    label = f", {share:.0f} of them ESTIMATED, not measured" if share else ""
    shown.append(
        f"Total of {' '.join(made.targets)}: {least}{made.gpu_hours:.1f} {gpu}GPU-hours{label}; "
        f"longest chain {least}{made.longest_chain:.1f} h"
    )
    if unknown:
        first = next(iter(unknown))
        shown.append(
            f"Not known: {', '.join(unknown)}. Finish one job of each, or give a duration, e.g. --hours {first}=2"
        )
    if estimated:
        shown += ["", "The estimate assumes (--assume name=value replaces; measured jobs replace it by themselves):"]
        shown += made.assumptions.describe()
        if made.gpu_model not in ("", "A100"):
            shown.append(f"  The speeds above are an A100's, and the profile asks for {made.gpu_model}: replace them.")
    return "\n".join(shown)
