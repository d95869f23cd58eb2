"""How long jobs of this experiment took: what Snakemake and the trainings themselves have measured so far."""

import csv
import json
import math
import os
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generalthinker.config.settings import Settings
from generalthinker.files import read_json
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.reporting.estimate import total_steps

# Only the end of a training's files is read: some dozens of steps, for a file of any length.
TAIL_BYTES = 32_768
ENOUGH_STEPS = 5  # the first step of a training is slower than the others
MOST_FILES = 300


def measured_hours(settings: Settings, rule: str) -> dict[str, float]:
    """Return the hours of the rule's measured jobs by their name, e.g. run/suite; of very many jobs, some."""
    folder = Path(Layout(settings.results).benchmark_file(rule)).parent
    hours = {}
    for path in _first(folder, ".tsv", MOST_FILES):
        try:
            with path.open(encoding="utf-8", newline="") as file:
                seconds = float(list(csv.DictReader(file, delimiter="\t"))[-1]["s"])
        except (OSError, ValueError, KeyError, IndexError):
            continue  # half written
        hours[str(path.relative_to(folder).with_suffix(""))] = seconds / 3600
    return hours


def training_hours(settings: Settings, runs: list[RunSpec]) -> dict[str, float]:
    """Return the hours of a whole training by run, for all runs that are finished or have made some steps.

    What Snakemake measured is only the last job of a training; the steps themselves count those before it as well.
    """
    hours = measured_hours(settings, "train")
    for run in runs:
        record = read_record(settings, run)
        seconds = _number(record.get("training_seconds"))
        if not record and (step := mean_step_seconds(settings, run)):
            seconds = step * total_steps(settings)
        if seconds:
            hours[run.name] = max(hours.get(run.name, 0.0), seconds / 3600)
    return hours


def read_record(settings: Settings, run: RunSpec) -> dict[str, Any]:
    """Return the record of a finished run; empty if there is none."""
    try:
        record = read_json(Layout(settings.results).run_record(run.name))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def mean_step_seconds(settings: Settings, run: RunSpec) -> float | None:
    """Return the mean seconds of the last steps of an unfinished training; None before it has made some."""
    folder = newest_checkpoints(settings, run)
    return step_seconds(last_lines(folder / "timing.jsonl"), ENOUGH_STEPS) if folder else None


def step_seconds(timing: list[dict[str, Any]], least: int = 1) -> float | None:
    """Return the mean seconds of the steps in `timing`; None if they are fewer than `least`."""
    seconds = [value for line in timing if (value := _number(line.get("seconds")))]
    return statistics.fmean(seconds) if len(seconds) >= least else None


def newest_checkpoints(settings: Settings, run: RunSpec) -> Path | None:
    """Return the folder in which `run` was trained last; each version of its settings and its code has its own."""
    try:
        folders = list((Path(Layout(settings.results).run(run.name)) / "checkpoints").iterdir())
    except OSError:
        return None
    return max(folders, key=_changed, default=None)


def last_lines(path: Path) -> list[dict[str, Any]]:
    """Return the complete JSON lines at the end of `path`; a cut first or last line is left out."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    complete = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            complete.append(value)
    return complete


def first_line(path: Path) -> dict[str, Any]:
    """Return the first JSON line of `path`; empty if there is none yet or it is damaged."""
    try:
        with path.open(encoding="utf-8") as file:
            value = json.loads(file.readline())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _changed(folder: Path) -> float:
    times = []
    for path in (folder, folder / "metrics.jsonl"):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(times, default=0.0)


def _first(folder: Path, suffix: str, most: int) -> Iterator[Path]:
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(suffix):
                found += 1
                yield Path(place, name)
                if found == most:
                    return


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
