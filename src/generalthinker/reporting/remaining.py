"""When the sweep will be finished, if as many jobs go on at a time as now."""

import heapq
import statistics
from collections.abc import Sequence
from dataclasses import replace

from generalthinker.config.settings import Settings
from generalthinker.records import RunSpec, slug
from generalthinker.reporting.assumptions import Assumptions
from generalthinker.reporting.cells import Evaluation
from generalthinker.reporting.estimate import Estimate, read_gpus
from generalthinker.reporting.measured import measured_hours
from generalthinker.reporting.progress import Work

ACTIVE = ("running", "waiting")


def with_time_left(settings: Settings, runs: dict[RunSpec, Work]) -> dict[RunSpec, Work]:
    """Return the runs with the seconds that each has left, where they can be told.

    A run without steps of its own takes as long per step as the median of its model's runs, else as estimated.
    """
    measured: dict[str, list[float]] = {}
    for run, work in runs.items():
        if work.seconds:
            measured.setdefault(run.model, []).append(work.seconds)
    estimate = Estimate(settings, Assumptions(), read_gpus())
    typical = {model: statistics.median(values) for model, values in measured.items()}
    for model in {run.model for run in runs} - set(typical):
        if (step := estimate.step(model)) is not None:
            typical[model] = step.total
    anything = statistics.median(typical.values()) if typical else None
    filled = {}
    for run, work in runs.items():
        seconds = work.seconds or typical.get(run.model, anything)
        steps = (work.steps or 0) - (work.step or 0)
        left = 0.0 if work.state == "done" else steps * seconds if seconds else None
        filled[run] = replace(work, left=left)
    return filled


def describe_time_left(settings: Settings, runs: dict[RunSpec, Work], evaluations: dict[Evaluation, Work]) -> str:
    """Return in one line how much work is left and when it will be done; empty if nothing is left."""
    pending = [work for work in runs.values() if work.state != "done"]
    # Grading takes seconds, so only responses count.
    to_evaluate = {
        pair: work for pair, work in evaluations.items() if work.state != "done" and not work.detail.startswith("gen")
    }
    if not pending and not to_evaluate:
        return ""
    hours, source = _evaluation_hours(settings, list(to_evaluate))
    steps_measured = any(work.seconds for work in runs.values())
    training = [work.left / 3600 for work in pending if work.left is not None]
    evaluating = [hours[pair] for pair in to_evaluate if hours[pair] is not None]
    unknown = len(pending) - len(training) + len(to_evaluate) - len(evaluating)
    sums = f"{_hours(sum(training))} of training and {_hours(sum(h or 0 for h in evaluating))} of evaluation"
    basis = f"steps {'measured' if steps_measured else 'ESTIMATED'}, evaluations {source}"
    slots = sum(work.state in ACTIVE for work in [*pending, *to_evaluate.values()])
    least = "at least " if unknown else "about "
    if not slots:
        return f"Left: {least}{sums}, one job at a time ({basis}); nothing is running"
    chains = {}
    for run, work in runs.items():
        own = max((hours[pair] or 0.0 for pair in to_evaluate if pair[0] == run), default=0.0)
        chains[run] = (0.0 if work.state == "done" else (work.left or 0.0) / 3600) + own
    eta = max(makespan(training + [h or 0.0 for h in evaluating], slots), max(chains.values(), default=0.0))
    return f"Left: {least}{_hours(eta)} with {slots} jobs at a time, as now; {sums} in all ({basis})"


def makespan(hours: Sequence[float], slots: int) -> float:
    """Return when jobs that take `hours` are finished if `slots` run at a time, the longest first.

    >>> makespan([3, 1, 1, 1], 2)
    3.0
    """
    free = [0.0] * slots
    for job in sorted(hours, reverse=True):
        heapq.heapreplace(free, free[0] + job)
    return max(free)


def _evaluation_hours(settings: Settings, pairs: list[Evaluation]) -> tuple[dict[Evaluation, float | None], str]:
    """Return the hours of evaluations: the median of the suite's measured ones, else as estimated."""
    by_suite: dict[str, list[float]] = {}
    for name, hours in measured_hours(settings, "generate").items():
        by_suite.setdefault(name.rpartition("/")[2], []).append(hours)
    typical = {suite: statistics.median(values) for suite, values in by_suite.items()}
    estimate, known = Estimate(settings, Assumptions(), read_gpus()), {}
    for model, suite in {(run.model, suite) for run, suite in pairs}:
        known[model, suite] = typical.get(slug(suite)) or estimate.generate(RunSpec(model, ""), suite)
    sources = dict.fromkeys("measured" if slug(suite) in typical else "ESTIMATED" for _, suite in pairs)
    return {(run, suite): known[run.model, suite] for run, suite in pairs}, " or ".join(sources) or "finished"


def _hours(hours: float) -> str:
    return duration(hours * 3600)


def duration(seconds: float) -> str:
    """Return a duration for people.

    >>> duration(20), duration(600), duration(3_900), duration(200_000)
    ('< 1 min', '10 min', '1 h 05 min', '2 d 8 h')
    """
    minutes = round(seconds / 60)
    if minutes >= 48 * 60:
        return f"{minutes // 1440} d {minutes % 1440 // 60} h"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min" if minutes else "< 1 min"
