"""Says what runs while Snakemake itself says nothing: at most one line a minute.

Snakemake prints a job's start and its end. Between them a training writes to its log only, for minutes or hours.
"""

import logging
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

SILENCE = 60.0  # seconds without a message after which a line is printed, and for which a job must have run
LISTED = 4  # more jobs than these are counted, not named
logger = logging.getLogger("snakemake.logging")  # Snakemake's own, so that `--quiet` and Snakemake's log file hold


@dataclass(frozen=True, slots=True)
class Running:
    """A job that was started, or submitted to a cluster, at `since` (seconds of the clock)."""

    rule: str
    name: str
    log: Path | None
    measured: Path | None
    since: float


class Heartbeat:
    """The running jobs as Snakemake's messages tell, and the line about them."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._jobs: dict[int, Running] = {}
        self._heard = clock()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Print lines from now on, in a thread that does not keep the process alive."""
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Print no more."""
        self._stopped.set()

    def note(self, record: logging.LogRecord) -> None:
        """Take in one of Snakemake's messages."""
        event, fields = getattr(record, "event", None), vars(record)
        with self._lock:
            self._heard = self._clock()
            if event == LogEvent.JOB_INFO:
                self._jobs[fields["jobid"]] = self._started(fields)
            elif event == LogEvent.JOB_FINISHED:
                self._jobs.pop(fields["job_id"], None)
            elif event == LogEvent.JOB_ERROR:
                self._jobs.pop(fields["jobid"], None)

    def line(self) -> str | None:
        """Return what runs; None unless a job has run, and nothing was said, for SILENCE seconds."""
        now = self._clock()
        with self._lock:
            jobs = sorted(self._jobs.values(), key=lambda job: job.since)
            if now - self._heard < SILENCE or not jobs or now - jobs[0].since < SILENCE:
                return None
            self._heard = now
        return f"{time.strftime('%H:%M', time.localtime(now))} {described(jobs, now)}"

    def _beat(self) -> None:
        while not self._stopped.wait(1):
            if line := self.line():
                logger.info(line)

    def _started(self, fields: dict[str, Any]) -> Running:
        rule, wildcards = fields["rule_name"], fields.get("wildcards") or {}
        logs, measured = fields.get("log"), fields.get("benchmark")
        return Running(
            rule,
            " ".join([rule, *map(str, wildcards.values())]),
            Path(logs[0]) if logs else None,
            Path(measured) if measured else None,
            self._clock(),
        )


def described(jobs: list[Running], now: float) -> str:
    """Return in one line the running `jobs`, which begin with the oldest, and how long and how far they are."""
    from generalthinker.reporting.remaining import duration

    if len(jobs) <= LISTED:
        return "still running: " + "; ".join(_described(job, now) for job in jobs)
    rules = " and ".join(f"{number} of {rule}" for rule, number in Counter(job.rule for job in jobs).most_common())
    return (
        f"still running or queued: {len(jobs)} jobs, {rules}, the longest for {duration(now - jobs[0].since)}; "
        "`generalthinker status` says how far they are"
    )


def _described(job: Running, now: float) -> str:
    from generalthinker.reporting.joblogs import progress
    from generalthinker.reporting.remaining import duration

    parts = [f"{job.name} {duration(now - job.since)}"]
    # A log of an earlier attempt lies there until the cluster starts the job.
    if job.log is None or _changed(job.log) < job.since - SILENCE:
        parts.append("no log yet")
    elif far := progress(job.log):
        parts.append(f"{far.what} {far.done} of {far.total}")
        if far.left is not None:
            parts.append(f"{duration(far.left)} left")
    elif usual := usual_seconds(job):
        parts.append(f"others took {duration(usual)}")
    return ", ".join(parts)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def usual_seconds(job: Running) -> float | None:
    """Return the median seconds of the rule's measured jobs, of those called like `job` if there are any.

    Jobs of less than a minute do not count: they put back finished work.
    """
    if job.measured is None:
        return None
    folder = next((place for place in job.measured.parents if place.name == job.rule), None)
    found = []
    for path in folder.rglob("*.tsv") if folder else ():
        try:
            seconds = float(path.read_text().splitlines()[1].split("\t")[0])
        except (OSError, ValueError, IndexError):
            continue  # half written
        if seconds >= SILENCE and path != job.measured:
            found.append((path.name == job.measured.name, seconds))
    alike = [seconds for same, seconds in found if same] or [seconds for _, seconds in found]
    return statistics.median(alike) if alike else None
